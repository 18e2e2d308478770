"""The files that the package reads, and its own readers: what damaged files are fed to."""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from ray_al.core.config import RunConfig, load_config, parse_config
from ray_al.core.families.annotators import ANNOTATORS, LabelRequest
from ray_al.core.families.label_parts import Classes
from ray_al.core.families.labels import LABELS
from ray_al.core.storage import Storage
from ray_al.core.types import QUERY_SCHEMA, Box
from ray_al.datasets import open_dataset
from ray_al.datasets.compose import decode_mask
from ray_al.datasets.images import read_image, read_image_size
from ray_al.datasets.masks import MaskDecoder, read_mask, read_mask_size
from ray_al.driver import lease
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.status import read_status
from ray_al.driver.verify import verify
from ray_al.label.annotators.files import answer_name
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.events import file_refs
from ray_al.regions.maps import MapRegions, decode_map, encode_map

SIDE = (24, 40)
CLASSES = Classes(names=("a", "b", "c"), colors=((0, 0, 200), (0, 200, 0), (200, 0, 0)))


@dataclass(frozen=True)
class Reader:
    """A reader and the files that it reads.

    Attributes:
        files: what may be damaged, one at a time.
        read: reads them all.
        exact: whether a file of this kind reveals all damage. If it is read without an error, it
            must then have its original content.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Any]
    exact: bool = False
    contents: Mapping[Path, bytes] = field(default_factory=dict)

    def with_contents(self) -> "Reader":
        """The reader, with the present contents of its files."""
        return replace(self, contents={path: path.read_bytes() for path in self.files})


def all_readers(root: Path, *, sweeps: bool = False) -> list[Reader]:
    """Every reader, with its files below `root`; that of `sweeps` takes seconds to import."""
    made = [
        *_pictures(root / "pictures"),
        *_answers(root / "answers"),
        *_lists(root / "lists"),
        *_records(root / "run"),
        _map(root),
    ]
    made += [_sweep(root / "sweep")] if sweeps else []
    return [one.with_contents() for one in made]


def _splits(config: RunConfig) -> Any:
    return open_dataset(config.data).splits


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def encoded(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, **options)
    return buffer.getvalue()


def _pictures(root: Path) -> Iterator[Reader]:
    rng = np.random.default_rng(0)
    photo, ids = (
        rng.integers(0, 255, (*SIDE, 3), dtype=np.uint8),
        rng.integers(0, 3, SIDE, dtype=np.uint8),
    )
    decoder = MaskDecoder(num_classes=3)
    kinds: dict[str, dict[str, Any]] = {
        "png": {"format": "PNG"},
        "jpg": {"format": "JPEG"},
        "tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
        "tiff": {"format": "TIFF"},
        "bmp": {"format": "BMP"},
        "webp": {"format": "WEBP", "lossless": True},
    }
    for suffix, options in kinds.items():
        path = str(write(root / f"photo.{suffix}", encoded(photo, **options)))
        yield Reader(
            f"photo {suffix}",
            (Path(path),),
            partial(read_image, path),
            exact=suffix == "png",
        )
        yield Reader(f"photo size {suffix}", (Path(path),), partial(read_image_size, path))
    npy = io.BytesIO()
    np.save(npy, ids)
    masks = {suffix: encoded(ids, **kinds[suffix]) for suffix in ("png", "tif", "bmp")} | {
        "npy": npy.getvalue()
    }
    for suffix, data in masks.items():
        path = str(write(root / f"mask.{suffix}", data))
        yield Reader(
            f"mask {suffix}",
            (Path(path),),
            partial(read_mask, path, decoder),
            exact=suffix == "png",
        )
        yield Reader(f"mask size {suffix}", (Path(path),), partial(read_mask_size, path))
    indexed = Image.fromarray(ids)
    indexed.putpalette([value for color in CLASSES.colors for value in color])
    buffer = io.BytesIO()
    indexed.save(buffer, format="PNG")
    path = str(write(root / "indexed.png", buffer.getvalue()))
    yield Reader("mask indexed", (Path(path),), partial(read_mask, path, decoder), exact=True)


class _Whole:
    """An image with one region, which fills it."""

    def box(self, region: int) -> Box:
        return Box(top=0, left=0, bottom=SIDE[0], right=SIDE[1])

    def mask(self, region: int) -> None:
        return None


def _answers(root: Path) -> Iterator[Reader]:
    rng = np.random.default_rng(1)
    row = {
        "image_index": 0,
        "image_id": "i",
        "region": 0,
        "score": 0.5,
        "num_pixels": 960,
        "rank": 0,
        "reason": "",
        "cost": 1,
    }
    query = pa.Table.from_pylist([row], schema=QUERY_SCHEMA)
    ids = rng.integers(0, 3, SIDE, dtype=np.uint8)
    indexed = Image.fromarray(np.array([2, 0, 1], np.uint8)[ids])
    indexed.putpalette([value for number in (1, 2, 0) for value in CLASSES.colors[number]])
    buffer = io.BytesIO()
    indexed.save(buffer, format="PNG")
    made = {
        ("ids", "dense"): encoded(ids, format="PNG"),
        ("indexed", "dense"): buffer.getvalue(),
        ("names", "classes"): json.dumps(["a", 2]).encode(),
        ("name", "dominant"): json.dumps(["b"]).encode(),
    }
    for (name, kind), data in made.items():
        storage = Storage(str(root / name))
        path = write(
            root / name / "t" / answer_name("task-00000", LABELS.parse({"kind": kind})), data
        )

        def read(storage: Storage = storage, kind: str = kind) -> Any:
            asked = LabelRequest(
                storage=storage,
                folder="t",
                query=query,
                label=LABELS.parse({"kind": kind}),
                classes=CLASSES,
                regions_of=lambda index: _Whole(),
                size_of=lambda index: SIDE,
                read_image=_not_read,
                propose=_not_read,
                truth=_not_read,
            )
            labels = ANNOTATORS.parse({"kind": "files", "margin": 3}).collect(asked)
            assert len(labels.table) + len(labels.refused) == 1
            if labels.refused:
                return None
            (label,) = labels.table.to_pylist()
            return decode_mask(label["mask"]) if kind == "dense" else label["classes"]

        yield Reader(f"answer {name}", (path,), read, exact=kind == "dense")


def _not_read(*args: int) -> Any:
    raise AssertionError("whoever takes in answers looks at nothing else")


def _lists(root: Path) -> Iterator[Reader]:
    """Lists of a folder and of VOC's layout, and a configuration file."""
    rng = np.random.default_rng(2)
    for i in range(6):
        photo, mask = (
            rng.integers(0, 255, (*SIDE, 3), dtype=np.uint8),
            encoded(rng.integers(0, 2, SIDE, dtype=np.uint8), format="PNG"),
        )
        write(root / f"folder/images/a/{i}.png", encoded(photo, format="PNG"))
        write(root / f"folder/masks/a/{i}.png", mask)
        write(root / f"voc/JPEGImages/{i}.jpg", encoded(photo, format="JPEG"))
        write(root / f"voc/SegmentationClass/{i}.png", mask)
    names = {"folder": "a/{}", "voc": "{}"}
    for layout, below in (("folder", ""), ("voc", "ImageSets/Segmentation/")):
        lists = {"train": range(4), "val": range(4, 6)}
        paths = [
            write(
                root / layout / f"{below}{split}.txt",
                "".join(f"{names[layout].format(i)}\n" for i in numbers).encode(),
            )
            for split, numbers in lists.items()
        ]
        values = {
            "data": {"dataset": layout, "root": str(root / layout), "class_names": ["a", "b"]}
        }
        config = parse_config(values, source="test")
        yield Reader(f"list {layout}", tuple(paths), partial(_splits, config))
    path = write(
        root / "c.yaml",
        json.dumps(
            {
                "name": "x",
                "seed": 3,
                **values,
                "budget": {"start": 2, "per_cycle": "3 %", "amount": "12 %"},
            }
        ).encode(),
    )
    yield Reader("configuration", (path,), lambda: load_config(str(path)))


def tiny(num_classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, num_classes, 1),
    )


def _settings(root: Path) -> dict[str, Any]:
    """Return the settings of a run on the folder of lists beside `root`."""
    return {
        "data": {
            "dataset": "folder",
            "root": str(root.parent / "lists/folder"),
            "class_names": ["a", "b"],
            "image_size": list(SIDE),
        },
        "regions": {"rows": 2, "columns": 2},
        "model": {"name": f"{__name__}:tiny"},
        "scoring": {"batch_size": 1, "precision": "fp32"},
        "budget": {"start": 4, "per_cycle": 2, "amount": 8},
        "train": {"steps": 1, "batch_size": 2},
    }


def _records(root: Path) -> Iterator[Reader]:
    """Make a run that waits for people, with one label imported and another one not yet.

    It has most kinds of files, and trains nothing.
    """
    settings = _settings(root) | {"label": {"annotator": "files"}, "cluster": {"host": "process"}}
    storage = Storage(create_run(parse_config(settings, source="test"), str(root)))
    assert run_loop(str(root)).kind == "waiting"
    tasks = root / "cycles/0000/tasks"
    ids = np.random.default_rng(3).integers(0, 2, (SIDE[0] // 2, SIDE[1] // 2), dtype=np.uint8)
    write(tasks / "task-00000.mask.png", encoded(ids, format="PNG"))
    assert run_loop(str(root)).kind == "waiting"
    write(tasks / "task-00001.mask.png", encoded(ids, format="PNG"))
    holder = {
        **lease.Lease(storage).holder,
        "pid": 1 << 22,
        "beats": 3,
    }  # of a process that is gone
    write(root / "lease.json", json.dumps(holder).encode())
    write(root / "tracking.json", json.dumps({"mlflow": {"id": "x", "cycles": 2}}).encode())
    events, parts = (
        tuple(sorted((root / "journal").glob("*.json"))),
        tuple(sorted(root.rglob("*.parquet"))),
    )
    yield Reader("journal", events, lambda: fold(Journal(storage).events))
    yield Reader("status", (*events, root / "status.json"), lambda: read_status(storage)["stage"])
    yield Reader("run's configuration", (root / "config.yaml",), lambda: read_config(storage))
    for ref in (
        ref
        for event in Journal(storage).events
        for ref in file_refs(event.data)
        if ref.path.endswith(".parquet")
    ):
        yield Reader(
            f"part {ref.path}",
            (root / ref.path,),
            partial(read_table, storage, ref),
            exact=True,
        )
    yield Reader("verify", (*events, *parts, root / "config.yaml"), lambda: verify(str(root)))
    notes = tuple(
        root / name for name in ("lease.json", "tracking.json", "status.json", "curve.csv")
    )
    everything = (*events, *parts, *notes, root / "config.yaml", *sorted(tasks.iterdir()))
    yield Reader("resume", everything, lambda: _resume(root))


def _resume(root: Path) -> str:
    """How a copy of the run goes on."""
    copy = root.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    before, lease.STALE_S, lease.GRACE_S = (
        (lease.STALE_S, lease.GRACE_S),
        0.05,
        0.05,
    )  # the run of another host is not watched for long
    try:
        outcome = run_loop(str(copy)).kind
        verify(str(copy))
        return outcome
    finally:
        lease.STALE_S, lease.GRACE_S = before


def _map(root: Path) -> Reader:
    ids = (np.arange(SIDE[0] * SIDE[1]).reshape(SIDE) // 60).astype(np.int32)
    path = write(root / "map.png", encode_map(ids))
    return Reader(
        "map of regions", (path,), lambda: MapRegions(decode_map(path.read_bytes())).boxes
    )


def _sweep(root: Path) -> Reader:
    """A sweep of which one trial has begun and one has failed."""
    from ray_al.sweep.config import load_sweep
    from ray_al.sweep.create import create_sweep
    from ray_al.sweep.directory import read_trials, run_uri, write_outcome
    from ray_al.sweep.states import is_complete
    from ray_al.sweep.table import sweep_table, sweep_text

    path = write(
        root.parent / "sweep.yaml",
        json.dumps(
            {
                "name": "s",
                "run": _settings(root),
                "space": {"strategy.acquisition": ["entropy"]},
                "seeds": [0],
            }
        ).encode(),
    )
    storage = Storage(create_sweep(load_sweep(str(path)), str(root)))
    begun, failed = read_trials(storage)[:2]
    create_run(begun.config, run_uri(storage.root, begun.name))
    write_outcome(storage.root, failed.name, state="failed", error="out of memory")
    files = tuple(sorted(file for file in root.rglob("*") if file.suffix in (".yaml", ".json")))

    def read() -> tuple[str, bool]:
        return sweep_text(sweep_table(str(root))), is_complete(storage)

    return Reader("sweep", files, read)

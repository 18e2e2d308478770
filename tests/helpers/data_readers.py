"""Readers of bands, arrays, annotations and tables: more of what damaged files are fed to."""

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from helpers.damaged_readers import CLASSES, SIDE, Reader, encoded, write

from ray_al.core.config import parse_config
from ray_al.core.config.data import DataConfig
from ray_al.datasets import open_dataset
from ray_al.datasets.images import read_image, read_image_size
from ray_al.datasets.labelme_masks import LabelmeMasks
from ray_al.datasets.masks import MaskDecoder, read_mask
from ray_al.datasets.pixels import PixelRule

LABELMAP = "# label:color_rgb:parts:actions\na:0,0,200::\nb:0,200,0::\nc:200,0,0::\n"
CAMVID = "0 0 200\ta\n0 200 0\tb\n200 0 0\tc\n"


def data_readers(root: Path) -> list[Reader]:
    """The readers of files that need optional packages or further settings."""
    made = [
        *_bands(root / "bands"),
        *_arrays(root / "arrays"),
        *_tables(root / "tables"),
        *_colors(root / "colors"),
        _coco(root / "coco"),
        _labelme(root / "labelme"),
    ]
    return [one.with_contents() for one in made]


def _image_readers(name: str, path: Path, *, exact: bool) -> Iterator[Reader]:
    rule = PixelRule(channels="all", value_range=(0.0, 4000.0))
    yield Reader(name, (path,), partial(read_image, str(path), rule), exact=exact)
    yield Reader(f"{name} size", (path,), partial(read_image_size, str(path), rule))


def _bands(root: Path) -> Iterator[Reader]:
    """TIFF files of several bands and types, and pictures of 16 bits."""
    import tifffile  # an optional package

    rng = np.random.default_rng(4)
    values = rng.integers(0, 4000, (*SIDE, 5))
    bands = {"photometric": "minisblack", "planarconfig": "contig"}
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "plain": (values.astype(np.uint16), bands),
        "deflated": (values.astype(np.int16), {**bands, "compression": "zlib"}),
        "planes": (
            np.moveaxis(values, 2, 0).astype(np.float32),
            {**bands, "planarconfig": "separate"},
        ),
        "tiles": (values.astype(np.uint16), {**bands, "tile": (16, 16)}),
        "big": (values[..., 0].astype(np.float64), {"bigtiff": True}),
        "nodata": (
            values[..., 0].astype(np.float32),
            {"extratags": [(42113, "s", 0, "-9999", True)]},
        ),
    }
    root.mkdir(parents=True)
    for name, (array, options) in kinds.items():
        path = root / f"{name}.tif"
        tifffile.imwrite(path, array, **options)
        yield from _image_readers(f"bands {name}", path, exact=False)
    wide = write(root / "wide.png", encoded(values[..., 0].astype(np.uint16), format="PNG"))
    yield from _image_readers("wide png", wide, exact=True)


def _arrays(root: Path) -> Iterator[Reader]:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 4000, (*SIDE, 4)).astype(np.uint16)
    root.mkdir(parents=True)
    np.save(root / "image.npy", values)
    np.savez_compressed(root / "packed.npz", image=values)
    np.savez(root / "stored.npz", image=values.astype(np.float32))
    for path in sorted(root.iterdir()):
        # The checksums of an archive reveal what is damaged in it; an array has none.
        yield from _image_readers(f"array {path.name}", path, exact=path.suffix == ".npz")


def _tables(root: Path) -> Iterator[Reader]:
    """Files that say what the colours in masks mean; the truth is what the decoder makes of one."""
    ids = np.random.default_rng(6).integers(0, 3, SIDE, dtype=np.uint8)
    mask = encoded(np.array(CLASSES.colors, np.uint8)[ids], format="PNG")
    for name, text in (("labelmap.txt", LABELMAP), ("label_colors.txt", CAMVID)):
        folder = root / name.split(".")[0]
        path = write(folder / name, text.encode())
        for split in ("train", "val"):
            write(folder / f"images/{split}/{split}.png", encoded(ids, format="PNG"))
            write(folder / f"masks/{split}/{split}.png", mask)
        data = {"dataset": "folder", "root": str(folder), "mask_values": name}
        yield Reader(f"table {name}", (path,), partial(_first_mask, _data(data)))


def _data(values: dict[str, Any]) -> DataConfig:
    return parse_config({"data": values}, source="test").data


def _first_mask(data: DataConfig) -> Any:
    dataset = open_dataset(data)
    return read_mask(str(dataset.splits["train"][0].mask_uri), dataset.decoder)


def _colors(root: Path) -> Iterator[Reader]:
    """Masks in colours, exact and smooth."""
    ids = np.random.default_rng(7).integers(0, 3, SIDE, dtype=np.uint8)
    colors = np.array(CLASSES.colors, np.uint8)[ids]
    for name, nearest in (("exact", False), ("nearest", True)):
        decoder = MaskDecoder(
            num_classes=3, encoding="colors", colors=tuple(CLASSES.colors), nearest_color=nearest
        )
        path = write(root / f"{name}.png", encoded(colors, format="PNG"))
        yield Reader(f"colours {name}", (path,), partial(read_mask, str(path), decoder), exact=True)


def _labelme(root: Path) -> Reader:
    """Annotations of one image: a polygon, a circle, and pixels of their own."""
    brush = base64.b64encode(encoded(np.ones((3, 4), bool), format="PNG")).decode()
    shapes = [
        {"label": "lorry", "points": [[2, 3], [20, 3], [20, 15.5]], "shape_type": "polygon"},
        {"label": "tree", "points": [[9, 9], [12, 9]], "shape_type": "circle"},
        {"label": "tree", "points": [[1, 2], [4, 4]], "shape_type": "mask", "mask": brush},
    ]
    values = {"shapes": shapes, "imageHeight": SIDE[0], "imageWidth": SIDE[1]}
    decoder = MaskDecoder(
        num_classes=3, source=LabelmeMasks(numbers={"lorry": 1, "tree": 2}, background=0)
    )
    path = write(root / "a.json", json.dumps(values).encode())
    return Reader("labelme", (path,), partial(read_mask, str(path), decoder))


def _coco(root: Path) -> Reader:
    """Annotations of two images, by polygons and both kinds of runs, with a crowd."""
    height, width = SIDE
    images, annotations = [], []
    counts = [100, 60, height * width - 160]
    for number in range(3):
        name = f"{number}.png"
        picture = np.full((*SIDE, 3), 20 * number, np.uint8)
        for split in ("train", "val"):
            write(root / f"images/{split}/{split}{name}", encoded(picture, format="PNG"))
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        outlines = ([[2, 3, 20, 3, 20, 15.5, 2, 15]], {"size": [height, width], "counts": counts})
        for place, outline in enumerate(outlines):
            annotations.append(
                {
                    "id": 10 * number + place,
                    "image_id": number,
                    "category_id": 1 + place,
                    "segmentation": outline,
                    "iscrowd": place if number == 2 else 0,
                }
            )
    categories = [{"id": 1, "name": "lorry"}, {"id": 2, "name": "tree"}]
    paths = []
    for split in ("train", "val"):
        named = [{**row, "file_name": f"{split}{row['file_name']}"} for row in images]
        values = {"images": named, "annotations": annotations, "categories": categories}
        path = root / f"annotations/instances_{split}.json"
        paths.append(write(path, json.dumps(values).encode()))
    data = _data({"dataset": {"kind": "coco"}, "root": str(root)})

    def read() -> None:
        dataset = open_dataset(data)
        for split in ("train", "val"):
            for record in dataset.splits[split]:
                if record.mask_uri is not None:
                    read_mask(record.mask_uri, dataset.decoder)

    return Reader("annotations", tuple(paths), read)

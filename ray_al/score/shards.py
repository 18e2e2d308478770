"""A shard is a fixed range of the manifest: the unit of work over the pool, done once."""

import functools
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.config import RunConfig
from ray_al.core.families.regions import ImageRegions
from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets.catalog import data_root
from ray_al.datasets.manifest import absolute_places
from ray_al.regions.maps import MapPart

Work = Literal["maps", "scores", "features", "embed"]
SCHEMA_METADATA = b"probability_sums"
CLASS_COUNTS = b"class_counts"
"""Key of a score part's metadata: pixels of the scored maps for which each class is predicted, int64 (C,)."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Work on the manifest rows `start` to `stop`.

    Attributes:
        work: `maps` computes regions, `scores` scores what may still be chosen, `features` describes given regions, `embed` stores what a frozen
            backbone makes of the images.
        shard: its number; of `embed` that of the first shard of the store that it fills.
        images: a bit for each image of the shard that is worked on.
        regions: of `scores`: a bit for each region that is left, or of sparse kinds the numbers of those that are taken;
            of `features`: the numbers of those wanted (int64, counted from the shard's first region).
        weights: one file a model.
        maps: the shard's region maps, of kinds that have them.
        views: of `embed`: those to store.
    """

    work: Work
    shard: int
    start: int
    stop: int
    images: bytes
    regions: bytes
    cycle: int
    seed: int
    run_uri: str
    manifest: FileRef
    weights: tuple[FileRef, ...]
    output: str
    attempt: int
    maps: FileRef | None = None
    views: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What came of a task: the part, or None where nothing was left, seconds of work, and (image_id, error) of broken images.

    Of `embed` also what the store calls each shard (by its view 0).
    """

    shard: int
    file: FileRef | None
    num_rows: int
    num_images: int
    seconds: float
    quarantined: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShardImage:
    """An image of a task: its row of the manifest, and numbers of its regions, int64, ascending: `rest` are left (or wanted), `taken` gone."""

    row: Mapping[str, Any]
    rest: np.ndarray
    taken: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.row["height"], self.row["width"]


def make_tasks(
    config: RunConfig,
    num_images: int,
    *,
    work: Work,
    images: np.ndarray,
    regions_of: Callable[[int, int], bytes],
    done: set[int],
    maps: Mapping[int, FileRef | None] | None = None,
    first_shard: int = 0,
    **common: Any,
) -> Iterator[ShardTask]:
    """The tasks of a cycle that are not `done` and have an image to work on.

    Args:
        images: bool (num_images,), those to work on.
        regions_of: (start, stop) -> the task's `regions`.
        maps: of kinds that have them, by shard.
        first_shard: number of the first shard; a second pass over the pool counts on.
        common: the other fields of `ShardTask`.
    """
    size = config.shard_size(num_images)
    for number, start in enumerate(range(0, num_images, size)):
        stop, shard = min(start + size, num_images), first_shard + number
        if shard not in done and images[start:stop].any():
            bits = np.packbits(images[start:stop]).tobytes()
            one = None if maps is None else maps.get(number)
            yield ShardTask(
                work=work,
                shard=shard,
                start=start,
                stop=stop,
                images=bits,
                regions=regions_of(start, stop),
                maps=one,
                **common,
            )


def work_shard(task: ShardTask, config: RunConfig) -> ShardResult:
    """Do a task and write its part; the same bytes wherever and however often it runs."""
    from ray_al.score.embed import embed_shards
    from ray_al.score.features import feature_table
    from ray_al.score.region_scores import score_table
    from ray_al.score.segment import map_table

    if task.work == "embed":
        return embed_shards(task, config)
    began = time.perf_counter()
    tables: Mapping[Work, Callable[..., tuple[pa.Table, list[tuple[str, str]]]]] = {
        "maps": map_table,
        "scores": score_table,
        "features": feature_table,
    }
    images = list(shard_images(task, config))
    table, quarantined = tables[task.work](task, config, images)
    file = None
    if len(table):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        file = Storage(task.run_uri).put(
            f"{task.output}/part-{task.shard:05d}.parquet", buffer.getvalue(), attempt=task.attempt
        )
    return ShardResult(
        shard=task.shard,
        file=file,
        num_rows=len(table),
        num_images=len(images) - len(quarantined),
        seconds=time.perf_counter() - began,
        quarantined=tuple(quarantined),
    )


def shard_images(task: ShardTask, config: RunConfig) -> Iterator[ShardImage]:
    """The images of a task with what is left or wanted of each; those with nothing are left out, but for `maps`."""
    stored = read_manifest(task.run_uri, task.manifest).slice(task.start, task.stop - task.start)
    manifest = absolute_places(stored, data_root(config.data))
    sparse = config.regions.is_sparse
    sizes = (manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width"))
    spans = np.multiply(*sizes) if sparse else manifest.column("num_regions").to_numpy()
    offsets = np.concatenate([[0], np.cumsum(spans, dtype=np.int64)])
    wanted = np.unpackbits(np.frombuffer(task.images, dtype=np.uint8), count=len(manifest)).astype(
        bool
    )
    none = np.zeros(0, dtype=np.int64)
    if task.work == "scores" and not sparse:
        numbers = np.flatnonzero(
            np.unpackbits(np.frombuffer(task.regions, dtype=np.uint8), count=int(offsets[-1]))
        )
    else:
        numbers = np.frombuffer(task.regions, dtype=np.int64)
    cuts = np.searchsorted(numbers, offsets)
    rows = manifest.select(
        ["image_index", "image_id", "uri", "height", "width", "num_regions"]
    ).to_pylist()
    for position in np.flatnonzero(wanted):
        own = numbers[cuts[position] : cuts[position + 1]] - offsets[position]
        if task.work == "scores" and sparse:
            yield ShardImage(row=rows[position], rest=none, taken=own)
        elif task.work == "maps" or len(own):
            yield ShardImage(row=rows[position], rest=own, taken=none)


def regions_of(task: ShardTask, config: RunConfig, image: ShardImage) -> ImageRegions:
    """The regions of an image of the task."""
    data = (
        _read_maps(task.run_uri, task.maps).map(image.row["image_index"])
        if task.maps is not None
        else None
    )
    return config.regions.of_image(*image.size, data)


@functools.lru_cache(maxsize=2)
def read_manifest(run_uri: str, manifest: FileRef) -> pa.Table:
    return read_parquet(Storage(run_uri).read_ref(manifest))


@functools.lru_cache(maxsize=2)
def _read_maps(run_uri: str, ref: FileRef) -> MapPart:
    return MapPart(Storage(run_uri).read_ref(ref))

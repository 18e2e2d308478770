"""Divide the pool into shards, fixed ranges of the manifest, each of which is worked on once."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.families.regions import ImageRegions
from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets.catalog import data_root
from ray_al.datasets.manifest import absolute_places
from ray_al.datasets.tiles import Tile, split_uri
from ray_al.regions.maps import read_maps

Work = Literal["maps", "scores", "features", "embed"]
SCHEMA_METADATA = b"probability_sums"
"""Key in the metadata of a score part: sums of class probabilities over pixels, float64 (C,)."""
CLASS_COUNTS = b"class_counts"
"""Key in the metadata of a score part: pixels predicted as each class, int64 (C,)."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Work on the manifest rows `start` to `stop`.

    Attributes:
        work: `maps` computes regions, `scores` scores regions that may still be chosen, `features`
            describes given regions, and `embed` stores the output of a frozen backbone.
        shard: its number; for `embed`, the number of the first shard of the store that it fills.
        images: one bit per image of the shard, set for those to work on.
        regions: for `scores`, one bit per region, set for those left, or for sparse kinds the
            numbers of those taken; for `features`, the numbers of those wanted. Numbers are int64
            and count from the first region of the shard.
        weights: one file per model.
        maps: region maps of the shard, for kinds that have them.
        views: for `embed`, the views to store.
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
    """The result of a task.

    Attributes:
        file: the part; None if there was nothing to write.
        seconds: time that the work took.
        quarantined: (image_id, error) of broken images.
        names: for `embed`, the name of each shard in the store, by its view 0.
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
    """An image of a task.

    Attributes:
        row: its row of the manifest.
        rest: numbers of its regions that are left or wanted, int64, ascending.
        taken: numbers of its regions that are taken, int64, ascending.
    """

    row: Mapping[str, Any]
    rest: np.ndarray
    taken: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in native pixels; of a tile, those of its core."""
        return self.row["height"], self.row["width"]

    @property
    def tile(self) -> Tile | None:
        """The tile that it is; None for a whole image."""
        return split_uri(self.row["uri"])[1]


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
    """Yield the tasks of a cycle that are not `done` and have an image to work on.

    Args:
        images: bool (num_images,), those to work on.
        regions_of: (start, stop) -> the task's `regions`.
        maps: by shard, for kinds that have them.
        first_shard: number of the first shard; a second pass over the pool continues the numbers.
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


def shard_images(task: ShardTask, config: RunConfig) -> Iterator[ShardImage]:
    """Yield the images of a task with their regions.

    Images without regions to work on are left out, except for `maps`.
    """
    stored = read_manifest(task.run_uri, task.manifest).slice(task.start, task.stop - task.start)
    manifest = absolute_places(stored, data_root(config.data))
    sparse = config.regions.is_sparse
    sizes = (manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width"))
    numbers_per_image = np.multiply(*sizes) if sparse else manifest.column("num_regions").to_numpy()
    offsets = np.concatenate([[0], np.cumsum(numbers_per_image, dtype=np.int64)])
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
    """Return the regions of an image of the task."""
    data = (
        read_maps(task.run_uri, task.maps).map(image.row["image_index"])
        if task.maps is not None
        else None
    )
    return config.regions.of_image(*image.size, data)


@functools.lru_cache(maxsize=2)
def read_manifest(run_uri: str, manifest: FileRef) -> pa.Table:
    """Return the manifest of a run, cached."""
    return read_parquet(Storage(run_uri).read_ref(manifest))

"""Computing whole shards for the store."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from ray_al.core.errors import DataError
from ray_al.features.embed import Embedder
from ray_al.features.geometry import ViewDraw
from ray_al.features.layout import MapLayout
from ray_al.features.shards import Shards
from ray_al.features.store import RecordStore

Broken = list[tuple[int, str]]
"""Number and fault of each image that cannot be used."""


class ShardSource(Protocol):
    """What is needed to compute a shard; `FeatureSource` has it."""

    @property
    def shards(self) -> Shards:
        """The grouping of the images into shards."""

    @property
    def layout(self) -> MapLayout:
        """The layout of the maps in a record."""

    @property
    def embedder(self) -> Embedder:
        """The embedder that computes records."""

    def name(self, shard: int, view: int) -> str:
        """Return the name of a shard in the store."""

    def image(self, number: int) -> np.ndarray:
        """Return an image, uint8 (H, W, 3) at `data.image_size`."""

    def draw(self, number: int, view: int) -> ViewDraw:
        """Return the change of an image that makes one of its views."""


def fill_shard(
    source: ShardSource, store: RecordStore, shard: int, views: Sequence[int], threads: int = 1
) -> Broken:
    """Store the missing views of a shard; a view that is stored undamaged is left as it is.

    Each image is read once for all views. With several threads, images are read in parallel, then
    batches are computed in parallel with one thread per batch, so no value depends on `threads`.

    Args:
        source: source that reads the images and computes their records.
        store: store to write to.
        shard: number of the shard.
        views: numbers of the views to store.
        threads: number of threads.

    Returns:
        The images of the shard that cannot be used, as far as this call or an earlier one met them.

    Raises:
        ReadError: an image cannot be read at the moment.
        StorageError: the store cannot be written.
    """
    numbers = source.shards.numbers(shard)
    missing, unusable = _stored_views(source, store, shard, views)
    with ThreadPoolExecutor(threads) as executor:
        # A view that is stored does not say why an image was unusable: it is read for its fault.
        wanted = list(numbers) if missing else sorted(unusable)
        read = list(executor.map(lambda number: _image_or_error(source, number), wanted))
        images: dict[int, np.ndarray] = {}
        broken: Broken = []
        for number, result in zip(wanted, read, strict=True):
            if isinstance(result, str):
                broken.append((number, result))
            else:
                images[number] = result
        usable = np.array([number in images for number in numbers])
        for view in missing:
            table = np.zeros((len(numbers), source.layout.num_values), dtype=np.uint16)
            table[usable] = _records(source, images, view, executor)
            store.write(source.name(shard, view), table, usable)
    return broken


def _stored_views(
    source: ShardSource, store: RecordStore, shard: int, views: Sequence[int]
) -> tuple[list[int], set[int]]:
    """Return the missing views, and the images that are stored as unusable."""
    numbers = source.shards.numbers(shard)
    missing: list[int] = []
    unusable: set[int] = set()
    for view in views:
        name = source.name(shard, view)
        records = store.read(name, range(len(numbers)), source.layout.num_values)
        if records is None:
            missing.append(view)
            continue
        pairs = zip(numbers, records, strict=True)
        unusable |= {number for number, record in pairs if record is None}
    return missing, unusable


def _image_or_error(source: ShardSource, number: int) -> np.ndarray | str:
    try:
        return source.image(number)
    except DataError as error:
        return str(error)


def _records(
    source: ShardSource, images: dict[int, np.ndarray], view: int, executor: ThreadPoolExecutor
) -> np.ndarray:
    """Compute the records of one view of `images`, one task of the executor per batch."""
    numbers, size = list(images), source.embedder.batch_size

    def compute(members: list[int]) -> np.ndarray:
        return source.embedder.records(
            [source.draw(number, view).apply(images[number]) for number in members]
        )

    batches = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    parts = list(executor.map(compute, batches))
    return np.concatenate([source.embedder.records([]), *parts])

"""Computes whole shards for the store."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ray_al.core.errors import DataError
from ray_al.features.store import RecordStore

if TYPE_CHECKING:
    from ray_al.features.source import FeatureSource


Broken = list[tuple[int, str]]
"""Number and fault of each image that cannot be used."""


def fill_shard(
    source: FeatureSource, store: RecordStore, shard: int, views: Sequence[int], threads: int = 1
) -> Broken:
    """Have the store keep `views` of a shard; what stands and is whole is left as it is.

    Each image is read once for all views. No value depends on `threads`: they read images side by
    side, then compute batches side by side, each batch on a thread of its own.

    Raises:
        ReadError: an image could not be read just now.
        StorageError: the store cannot be written.
    """
    numbers = source.shards.numbers(shard)
    missing, unusable = [], set[int]()
    for view in views:
        records = store.read(
            source.name(shard, view), range(len(numbers)), source.layout.num_values
        )
        if records is None:
            missing.append(view)
            continue
        unusable |= {
            number for number, record in zip(numbers, records, strict=True) if record is None
        }
    with ThreadPoolExecutor(threads) as executor:
        wanted = list(numbers) if missing else sorted(unusable)
        read = dict(
            zip(
                wanted,
                executor.map(lambda number: _image_or_error(source, number), wanted),
                strict=True,
            )
        )
        images = {number: image for number, image in read.items() if not isinstance(image, str)}
        for view in missing:
            usable = np.array([number in images for number in numbers])
            table = np.zeros((len(numbers), source.layout.num_values), dtype=np.uint16)
            table[usable] = _records(source, images, view, executor)
            store.write(source.name(shard, view), table, usable)
    return [(number, image) for number, image in read.items() if isinstance(image, str)]


def _image_or_error(source: FeatureSource, number: int) -> np.ndarray | str:
    try:
        return source.image(number)
    except DataError as error:
        return str(error)


def _records(
    source: FeatureSource, images: dict[int, np.ndarray], view: int, executor: ThreadPoolExecutor
) -> np.ndarray:
    numbers, size = list(images), source.embedder.batch_size

    def compute(members: list[int]) -> np.ndarray:
        return source.embedder.records(
            [source.draw(number, view).apply(images[number]) for number in members]
        )

    parts = list(
        executor.map(
            compute, [numbers[start : start + size] for start in range(0, len(numbers), size)]
        )
    )
    return np.concatenate([source.embedder.records([]), *parts])

"""Grouping images into shards, and naming the shards."""

import functools
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NotRequired, TypedDict

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.reading import stamp_of_uri
from ray_al.datasets.catalog import data_root
from ray_al.datasets.listing import place_prefix
from ray_al.datasets.tiles import file_of

SHARD = 64
"""Largest number of images per shard."""
SHARD_BYTES = 128 * 2**20
"""Largest size of a shard, which is held in memory while it is computed."""
STAMP_THREADS = 16
COLUMNS = ("image_id", "uri", "height", "width")
"""Columns of the manifest that make a `Row`."""


class Row(TypedDict):
    """An image. Only images of the pool have a size, in pixels of the file."""

    image_id: str
    uri: str
    height: NotRequired[int]
    width: NotRequired[int]


def shard_size(record_bytes: int) -> int:
    """Return the number of images per shard for records of this size."""
    return max(1, min(SHARD, SHARD_BYTES // record_bytes))


class Shards:
    """Groups the images of a split into shards of consecutive numbers.

    Args:
        config: configuration of the run.
        rows: all images in the order of their numbers; a table if there may be millions.
        size: number of images per shard.
    """

    def __init__(self, config: RunConfig, rows: Sequence[Row] | pa.Table, size: int) -> None:
        self.rows = rows
        self.size = size
        self._data = config.data
        self._stamps: dict[int, str] = {}

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def numbers(self, shard: int) -> range:
        """Return the numbers of the images of a shard."""
        return range(shard * self.size, min((shard + 1) * self.size, len(self.rows)))

    def row(self, number: int) -> Row:
        """Return what is known about an image."""
        if not isinstance(self.rows, pa.Table):
            return self.rows[number]
        image_id, uri, height, width = (self.rows.column(name)[number].as_py() for name in COLUMNS)
        return Row(image_id=image_id, uri=uri, height=height, width=width)

    def digest(self, shard: int) -> str:
        """Return a digest of the images of a shard, as this process first saw their files.

        A file enters by its path below `data.root`, its size and the mark of its last change. Data
        that was moved keeps its features; an image that was replaced gets new ones.
        """
        if shard not in self._stamps:
            rows = [self.row(number) for number in self.numbers(shard)]
            stamps = _stamps([file_of(row["uri"]) for row in rows])
            facts = [
                (
                    row["image_id"],
                    row["uri"].removeprefix(self._prefix),
                    row.get("height"),
                    row.get("width"),
                    stamp,
                )
                for row, stamp in zip(rows, stamps, strict=True)
            ]
            self._stamps[shard] = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]
        return self._stamps[shard]

    @functools.cached_property
    def _prefix(self) -> str:
        return place_prefix(data_root(self._data))


def _stamps(uris: list[str]) -> list[str]:
    if not any("://" in uri for uri in uris):
        return list(map(stamp_of_uri, uris))
    with ThreadPoolExecutor(STAMP_THREADS) as executor:
        return list(executor.map(stamp_of_uri, uris))

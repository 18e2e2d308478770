"""Which images share a file of features, and what it is called."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.reading import stamp_of_uri
from ray_al.datasets.catalog import data_root
from ray_al.datasets.listing import place_prefix

SHARD = 64
"""Images of a file, at most."""
SHARD_BYTES = 128 * 2**20
"""A file of large records holds fewer images: whoever fills the store has one in memory."""
STAMP_THREADS = 16

Row = Mapping[str, Any]
"""An image: `image_id` and `uri`, and of the pool's also `image_index`, `height`, `width`."""
COLUMNS = ("image_id", "uri", "height", "width")


def shard_size(record_bytes: int) -> int:
    """Images of a file whose records have so many bytes."""
    return max(1, min(SHARD, SHARD_BYTES // record_bytes))


class Shards:
    """The images of a split in shards of `size`, by their numbers.

    Args:
        config: of the run.
        rows: all images in the order of their numbers; a table where there may be millions.
        size: images of a shard.
    """

    def __init__(self, config: RunConfig, rows: Sequence[Row] | pa.Table, size: int) -> None:
        self.rows, self.size, self._data = rows, size, config.data
        self._stamps: dict[int, str] = {}

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def numbers(self, shard: int) -> range:
        """Numbers of the images of a shard."""
        return range(shard * self.size, min((shard + 1) * self.size, len(self.rows)))

    def row(self, number: int) -> Row:
        """What is known of an image."""
        if not isinstance(self.rows, pa.Table):
            return self.rows[number]
        return {name: self.rows.column(name)[number].as_py() for name in COLUMNS}

    def digest(self, shard: int) -> str:
        """Names the images of a shard and the state of their files, as this process first saw them.

        Files count by their places below `data.root`, their sizes and what marks their last change,
        so that data that is moved keeps its features, and an image that is replaced does not.
        """
        if shard not in self._stamps:
            rows = [self.row(number) for number in self.numbers(shard)]
            stamps = _stamps([row["uri"] for row in rows])
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

"""The pool: which regions were chosen, a byte a region of the manifest (10 million images of 25 regions are 250 MB)."""

import functools
import io
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_al.core.arrays import is_among
from ray_al.core.config import RunConfig
from ray_al.core.families.regions import ImageRegions
from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets.catalog import data_root
from ray_al.datasets.manifest import absolute_places
from ray_al.ledger import State
from ray_al.regions.maps import MapPart

IMAGES_AT_A_TIME = 1 << 16


def read_table(storage: Storage, ref: FileRef, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file that an event names."""
    return read_parquet(storage.read_ref(ref), columns)


def table_bytes(table: pa.Table) -> bytes:
    """`table` as Parquet, the same bytes for the same table."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


class Pool:
    """Which regions were chosen, and which images labelled. Rebuilt from the ledger whenever a host starts.

    Every region has a flat number, its image's offset plus its own; `spans` is how many numbers an image has. Kinds with few regions an
    image keep an array over them, sparse kinds (a region a pixel) the sorted flat numbers of what was chosen.
    """

    def __init__(self, storage: Storage, state: State, config: RunConfig) -> None:
        self.storage, self.state, self.config = storage, state, config
        self.kind, self.is_sparse = config.regions, config.regions.is_sparse
        self.manifest = absolute_places(
            read_table(storage, state.created.manifest),
            data_root(config.data),
        )
        self.num_regions = self.manifest.column("num_regions").to_numpy()
        sizes = (
            self.manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width")
        )
        self.spans = np.multiply(*sizes) if self.is_sparse else self.num_regions
        self.offsets = np.concatenate([[0], np.cumsum(self.spans, dtype=np.int64)])
        self.chosen = np.zeros(0 if self.is_sparse else self.offsets[-1], dtype=bool)
        self.chosen_numbers = np.zeros(0, dtype=np.int64)
        self.broken = np.zeros(len(self.manifest), dtype=bool)
        self.labelled_images = np.zeros(len(self.manifest), dtype=bool)
        self.labelled_numbers = np.zeros(0, dtype=np.int64)
        """Flat numbers of the labelled regions, ascending."""
        self.regions_of = functools.lru_cache(maxsize=64)(self._regions_of)
        """image_index -> the regions of that image."""
        for query in state.queries:
            self.choose(read_table(storage, query.file, ["image_index", "region"]))
        for part in state.label_parts:
            self.label(read_table(storage, part, ["image_index", "region"]))
        self.quarantine(state.quarantined)

    def numbers(self, table: pa.Table) -> np.ndarray:
        """Flat numbers of the rows' regions, int64 (rows,)."""
        numbers: np.ndarray = (
            self.offsets[table.column("image_index").to_numpy()] + table.column("region").to_numpy()
        )
        return numbers

    def choose(self, table: pa.Table) -> None:
        """Never choose these regions again."""
        if self.is_sparse:
            self.chosen_numbers = np.union1d(self.chosen_numbers, self.numbers(table))
        else:
            self.chosen[self.numbers(table)] = True

    def is_chosen(self, table: pa.Table) -> np.ndarray:
        """bool (rows,)."""
        numbers = self.numbers(table)
        return is_among(numbers, self.chosen_numbers) if self.is_sparse else self.chosen[numbers]

    def label(self, table: pa.Table) -> None:
        """Count these regions, and their images, as labelled."""
        self.labelled_images[table.column("image_index").to_numpy()] = True
        self.labelled_numbers = np.union1d(self.labelled_numbers, self.numbers(table))

    def quarantine(self, image_ids: Iterable[str]) -> None:
        """Take broken images out of what may be chosen."""
        for index in self.indices_of(list(image_ids)):
            self.broken[index] = True
            if not self.is_sparse:
                self.chosen[self.offsets[index] : self.offsets[index + 1]] = True

    def indices_of(self, image_ids: list[str]) -> list[int]:
        """The image_index of each name; a look through the manifest, as a table of millions of names would take gigabytes."""
        if not image_ids:
            return []
        names = pa.array(image_ids, pa.string())
        rows = np.flatnonzero(pc.is_in(self.manifest.column("image_id"), value_set=names))
        found = dict(
            zip(
                self.manifest.column("image_id").take(pa.array(rows)).to_pylist(),
                rows.tolist(),
                strict=True,
            )
        )
        return [found[image_id] for image_id in image_ids]

    @property
    def num_left(self) -> int:
        """Regions that may still be chosen."""
        if self.is_sparse:
            return int(self.num_regions[~self.broken].sum()) - len(self.chosen_numbers)
        return len(self.chosen) - int(self.chosen.sum())

    def images_left(self) -> np.ndarray:
        """bool (images,): those with a region that may still be chosen."""
        if self.is_sparse:
            return ~self.broken & (self.num_regions > 0)
        left = np.zeros(len(self.manifest), dtype=bool)
        for start in range(0, len(left), IMAGES_AT_A_TIME):
            offsets = self.offsets[start : start + IMAGES_AT_A_TIME + 1]
            counts = np.concatenate([[0], np.cumsum(~self.chosen[offsets[0] : offsets[-1]])])
            left[start : start + len(offsets) - 1] = np.diff(counts[offsets - offsets[0]]) > 0
        return left

    def shard_regions(self, start: int, stop: int) -> bytes:
        """What a scoring task is told of the images `start` to `stop`: a bit for each region that is left; of sparse kinds, the numbers taken."""
        first, last = self.offsets[start], self.offsets[stop]
        if not self.is_sparse:
            return np.packbits(~self.chosen[first:last]).tobytes()
        return shard_numbers(self.chosen_numbers, first, last)

    def _regions_of(self, image_index: int) -> ImageRegions:
        height, width = (
            self.manifest.column(name)[image_index].as_py() for name in ("height", "width")
        )
        if not self.kind.needs_maps:
            return self.kind.of_image(height, width, None)
        ref = self.state.map_parts[image_index // self.config.shard_size(len(self.manifest))]
        assert ref is not None  # an image without a map has no region to ask for
        return self.kind.of_image(height, width, _read_maps(self.storage, ref).map(image_index))


def shard_numbers(numbers: np.ndarray, first: int, last: int) -> bytes:
    """Those of the sorted flat numbers that lie in [first, last), counted from `first`, as int64."""
    low, high = np.searchsorted(numbers, [first, last])
    return (numbers[low:high] - first).astype(np.int64).tobytes()


@functools.lru_cache(maxsize=4)
def _read_maps(storage: Storage, ref: FileRef) -> MapPart:
    return MapPart(storage.read_ref(ref))

"""Keep which regions of the pool were queried and which images are labelled.

It takes one byte per region: 10 million images of 25 regions are 250 MB.
"""

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
from ray_al.regions.maps import read_maps

IMAGES_AT_A_TIME = 1 << 16


def read_table(storage: Storage, ref: FileRef, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file that an event names."""
    return read_parquet(storage.read_ref(ref), columns)


def table_bytes(table: pa.Table) -> bytes:
    """Write `table` as Parquet; the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


class Pool:
    """The regions that were queried and the images that are labelled.

    A host rebuilds it from the ledger when it starts. Every region has a flat number: the offset of
    its image plus its own number. Kinds with few regions per image keep an array over all regions,
    sparse kinds (one region per pixel) keep the sorted flat numbers of the queried regions.

    Attributes:
        manifest: one row per image.
        num_regions: regions of each image, int (images,).
        numbers_per_image: flat numbers of each image, int (images,).
        offsets: first flat number of each image, and the end, int64 (images + 1,).
        chosen: regions that must not be queried, bool (regions,); empty for sparse kinds.
        chosen_numbers: sparse kinds only: flat numbers of the queried regions, ascending.
        broken: quarantined images, bool (images,).
        removed: images that left the pool; their labels are still trained on, bool (images,).
        labelled_images: images with a label, bool (images,).
        labelled_numbers: flat numbers of the labelled regions, ascending.
        regions_of: returns the regions of an image, by its image_index.
    """

    def __init__(self, storage: Storage, state: State, config: RunConfig) -> None:
        self.storage, self.config, self._map_parts = storage, config, state.map_parts
        self.kind, self.is_sparse = config.regions, config.regions.is_sparse
        self.manifest = absolute_places(
            read_table(storage, state.created.manifest),
            data_root(config.data),
        )
        self.num_regions = self.manifest.column("num_regions").to_numpy()
        sizes = (
            self.manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width")
        )
        self.numbers_per_image = np.multiply(*sizes) if self.is_sparse else self.num_regions
        self.offsets = np.concatenate([[0], np.cumsum(self.numbers_per_image, dtype=np.int64)])
        self.chosen = np.zeros(0 if self.is_sparse else self.offsets[-1], dtype=bool)
        self.chosen_numbers = np.zeros(0, dtype=np.int64)
        self.broken = np.zeros(len(self.manifest), dtype=bool)
        self.removed = np.zeros(len(self.manifest), dtype=bool)
        self.labelled_images = np.zeros(len(self.manifest), dtype=bool)
        self.labelled_numbers = np.zeros(0, dtype=np.int64)
        # `regions_of` is called image by image, often for the same ones.
        self.regions_of = functools.lru_cache(maxsize=64)(self._regions_of)
        for query in state.queries:
            self.mark_queried(read_table(storage, query.file, ["image_index", "region"]))
        for part in state.label_parts:
            self.mark_labelled(read_table(storage, part, ["image_index", "region"]))
        self.quarantine(state.quarantined)
        self._remove(state.removed)

    def numbers(self, table: pa.Table) -> np.ndarray:
        """Return the flat numbers of the rows' regions, int64 (rows,)."""
        numbers: np.ndarray = (
            self.offsets[table.column("image_index").to_numpy()] + table.column("region").to_numpy()
        )
        return numbers

    def mark_queried(self, table: pa.Table) -> None:
        """Mark these regions as queried; no region is queried twice."""
        if self.is_sparse:
            self.chosen_numbers = np.union1d(self.chosen_numbers, self.numbers(table))
        else:
            self.chosen[self.numbers(table)] = True

    def is_chosen(self, table: pa.Table) -> np.ndarray:
        """Return which rows' regions must not be queried, bool (rows,)."""
        numbers = self.numbers(table)
        if self.is_sparse:
            return is_among(numbers, self.chosen_numbers)
        is_chosen: np.ndarray = self.chosen[numbers]
        return is_chosen

    def mark_labelled(self, table: pa.Table) -> None:
        """Mark these regions, and their images, as labelled."""
        self.labelled_images[table.column("image_index").to_numpy()] = True
        self.labelled_numbers = np.union1d(self.labelled_numbers, self.numbers(table))

    def quarantine(self, image_ids: Iterable[str]) -> None:
        """Exclude broken images from later queries."""
        for index in self.indices_of(list(image_ids)):
            self.broken[index] = True
            self._close(index)

    def _remove(self, image_ids: Iterable[str]) -> None:
        """Exclude images that left the pool from later queries."""
        for index in self.indices_of(list(image_ids)):
            self.removed[index] = True
            self._close(index)

    def _close(self, index: int) -> None:
        if not self.is_sparse:
            self.chosen[self.offsets[index] : self.offsets[index + 1]] = True

    @property
    def is_out(self) -> np.ndarray:
        """Return which images must not be queried, bool (images,)."""
        out: np.ndarray = self.broken | self.removed
        return out

    def indices_of(self, image_ids: list[str]) -> list[int]:
        """Return the image_index of each name.

        It searches the manifest, because an index of millions of names would take gigabytes.
        """
        if not image_ids:
            return []
        names = pa.array(image_ids, pa.string())
        rows = np.flatnonzero(pc.is_in(self.manifest.column("image_id"), value_set=names))
        ids = self.manifest.column("image_id").take(pa.array(rows)).to_pylist()
        found = dict(zip(ids, rows.tolist(), strict=True))
        return [found[image_id] for image_id in image_ids]

    @property
    def num_left(self) -> int:
        """Return the number of regions that may still be queried."""
        if self.is_sparse:
            return int(self.num_regions[~self.is_out].sum()) - len(self.chosen_numbers)
        return len(self.chosen) - int(self.chosen.sum())

    def images_left(self) -> np.ndarray:
        """Return which images have a region that may still be queried, bool (images,)."""
        if self.is_sparse:
            usable: np.ndarray = ~self.is_out & (self.num_regions > 0)
            return usable
        left = np.zeros(len(self.manifest), dtype=bool)
        for start in range(0, len(left), IMAGES_AT_A_TIME):
            offsets = self.offsets[start : start + IMAGES_AT_A_TIME + 1]
            counts = np.concatenate([[0], np.cumsum(~self.chosen[offsets[0] : offsets[-1]])])
            left[start : start + len(offsets) - 1] = np.diff(counts[offsets - offsets[0]]) > 0
        return left

    def shard_regions(self, start: int, stop: int) -> bytes:
        """Encode the regions of images [start, stop) for a scoring task.

        It is a bitmap of the regions that may still be queried or, for sparse kinds, the numbers of
        the regions that were queried.
        """
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
        ref = self._map_parts[image_index // self.config.shard_size(len(self.manifest))]
        assert ref is not None  # an image without a map has no region to ask for
        return self.kind.of_image(height, width, read_maps(self.storage.root, ref).map(image_index))


def shard_numbers(numbers: np.ndarray, first: int, last: int) -> bytes:
    """Encode the sorted flat numbers in [first, last), counted from `first`, as int64."""
    low, high = np.searchsorted(numbers, [first, last])
    return (numbers[low:high] - first).astype(np.int64).tobytes()

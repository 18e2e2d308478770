"""The labelled images of a run, read once and kept between cycles."""

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.errors import DataError
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, Box, FileRef
from ray_al.datasets import Dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.compose import compose_mask
from ray_al.datasets.images import read_image, resize_image, resize_mask
from ray_al.datasets.masks import read_mask


class LabelledImages:
    """Images and masks by their number in the manifest.

    Args:
        storage: the run directory.
        manifest: the pool, of schema MANIFEST_SCHEMA.
        dataset: what opens masks of the upper bound.
        image_size: (height, width) in pixels of what `image` and `mask` return.
        cache: where decoded arrays are kept.
    """

    def __init__(self, storage: Storage, manifest: pa.Table, dataset: Dataset, image_size: tuple[int, int], cache: ByteCache) -> None:
        self.storage, self.dataset, self.image_size, self.cache = storage, dataset, image_size, cache
        columns = ("image_index", "image_id", "uri", "mask_uri", "height", "width")
        rows = zip(*(manifest.column(name).to_pylist() for name in columns), strict=True)
        self._rows = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
        self._parts: list[FileRef] = []
        self._labels: dict[int, list[tuple[Box, bytes]]] = {}
        self._pixels: dict[tuple[int, int], np.ndarray] = {}
        self._all_masks = False
        self._indices: list[int] = []

    def update(self, label_parts: Sequence[FileRef], *, all_masks: bool = False) -> None:
        """Read the label parts that are new; start afresh where `label_parts` is not a continuation of what was read.

        Raises:
            StorageError: a part is missing or not what the ledger recorded.
        """
        if list(label_parts[: len(self._parts)]) != self._parts:
            self._parts, self._labels, self._pixels = [], {}, {}
        for ref in label_parts[len(self._parts) :]:
            self._read_part(ref)
            self._parts.append(ref)
        self._all_masks = all_masks
        self._indices = sorted(index for index, row in self._rows.items() if row["mask_uri"]) if all_masks else sorted(self._labels)

    def _read_part(self, ref: FileRef) -> None:
        table = pq.read_table(io.BytesIO(self.storage.read_ref(ref)), columns=["image_index", "box", "mask"])
        for index, box, mask in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if index not in self._rows:
                raise DataError(f"{self.storage.uri(ref.path)}: image_index {index} is not in manifest.parquet; the part belongs to another run")
            top, left, bottom, right = box
            self._labels.setdefault(index, []).append((Box(top=top, left=left, bottom=bottom, right=right), mask))

    @property
    def indices(self) -> list[int]:
        """Numbers of the images with at least one labelled region, ascending."""
        return self._indices

    def image(self, index: int) -> np.ndarray:
        """uint8 array of shape (height, width, 3) at `image_size`."""
        key = ("image", index, self.image_size)
        image = self.cache.get(key)
        if image is None:
            image = resize_image(read_image(self._rows[index]["uri"]), self.image_size)
            self.cache.put(key, image)
        return image

    def mask(self, index: int) -> np.ndarray:
        """uint8 array of shape (height, width) at `image_size`, 255 where there is no label."""
        key = ("labels", index, self._version(index), self.image_size)
        mask = self.cache.get(key)
        if mask is None:
            mask = resize_mask(self._native_mask(index), self.image_size)
            self.cache.put(key, mask)
        return mask

    def class_pixels(self) -> tuple[int, ...]:
        """Labelled native pixels by class over all `indices`."""
        total = np.zeros(self.dataset.num_classes, dtype=np.int64)
        for index in self._indices:
            key = (index, self._version(index))
            if key not in self._pixels:
                self._native_mask(index)
            total += self._pixels[key]
        return tuple(int(count) for count in total)

    def _version(self, index: int) -> int:
        return -1 if self._all_masks else len(self._labels[index])

    def _native_mask(self, index: int) -> np.ndarray:
        row = self._rows[index]
        whole = self._all_masks
        mask = read_mask(row["mask_uri"], self.dataset.decoder) if whole else compose_mask(self._labels[index], row["height"], row["width"])
        counts = np.bincount(mask[mask != IGNORE_INDEX], minlength=256)[: self.dataset.num_classes]
        self._pixels[index, self._version(index)] = counts
        return mask

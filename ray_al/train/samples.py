"""The labelled images of a run, read once and kept between cycles."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, Box, FileRef
from ray_al.datasets import Dataset
from ray_al.datasets.bits import bits_of_ids
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.compose import Part, compose_numbered, compose_targets
from ray_al.datasets.images import read_pool_image, resize_image, resize_regions, resize_scattered
from ray_al.datasets.masks import read_mask

THREADS = 8
Probabilities = Callable[[int], np.ndarray]
"""Number of an image -> class probabilities at the size of the labels, float32 (C, H, W)."""


class LabelledImages:
    """Images and masks by their number in the manifest.

    Dense labels are masks of class ids, uint8 (H, W), 255 where there is no label. Of other kinds a mask is int64 (H, W, 2): the set of
    classes that a pixel may have, as bits (0: no label), and the number of its region in the image, from 1 (0: none).

    Args:
        storage: the run directory.
        manifest: the pool, of schema MANIFEST_SCHEMA.
        dataset: what opens masks of the upper bound.
        image_size: (height, width) in pixels of what `image` and `mask` return.
        cache: where decoded arrays are kept.
        partial: whether labels are sets of classes.
        scattered: whether all labels are single pixels or little more, so that each cell of a smaller size takes one from within it.
    """

    def __init__(
        self,
        storage: Storage,
        manifest: pa.Table,
        dataset: Dataset,
        image_size: tuple[int, int],
        cache: ByteCache,
        *,
        partial: bool = False,
        scattered: bool = False,
    ) -> None:
        self.storage, self.dataset, self.image_size, self.cache = (
            storage,
            dataset,
            image_size,
            cache,
        )
        self.partial, self.scattered = partial, scattered
        columns = ("image_index", "image_id", "uri", "mask_uri", "height", "width")
        rows = zip(*(manifest.column(name).to_pylist() for name in columns), strict=True)
        self._rows = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
        self._parts: list[FileRef] = []
        self._labels: dict[int, list[Part]] = {}
        self._sieved: dict[int, np.ndarray] = {}
        self._pixels: dict[tuple[int, int], np.ndarray] = {}
        self._all_masks = False
        self._indices: list[int] = []

    def update(
        self,
        label_parts: Sequence[FileRef],
        *,
        all_masks: bool = False,
        left_out: Sequence[int] = (),
    ) -> None:
        """Read the label parts that are new; start afresh where `label_parts` is not a continuation of what was read.

        Args:
            all_masks: take the images that have a mask, in place of those with labels.
            left_out: numbers of images that are not trained on.

        Raises:
            StorageError: a part is missing or not what the ledger recorded.
        """
        if list(label_parts[: len(self._parts)]) != self._parts:
            self._parts, self._labels, self._pixels = [], {}, {}
        for ref in label_parts[len(self._parts) :]:
            self._read_part(ref)
            self._parts.append(ref)
        self._all_masks, self._sieved = all_masks, {}
        known = (
            (index for index, row in self._rows.items() if row["mask_uri"])
            if all_masks
            else self._labels
        )
        self._indices = sorted(set(known) - set(left_out))

    def _read_part(self, ref: FileRef) -> None:
        wanted = ("image_index", "box", "mask", "classes")
        table = read_parquet(self.storage.read_ref(ref))
        for row in table.select(
            [name for name in wanted if name in table.column_names]
        ).to_pylist():
            index = row["image_index"]
            if index not in self._rows:
                raise DataError(
                    f"{self.storage.uri(ref.path)}: image_index {index} is not in manifest.parquet; the part belongs to another run"
                )
            box = Box(**dict(zip(("top", "left", "bottom", "right"), row["box"], strict=True)))
            self._labels.setdefault(index, []).append(Part.of_row(box, row))

    @property
    def indices(self) -> list[int]:
        """Numbers of the images with at least one labelled region that are not left out, ascending."""
        return self._indices

    def image(self, index: int) -> np.ndarray:
        """uint8 array of shape (height, width, 3) at `image_size`.

        Raises:
            DataError: the image cannot be used.
            ReadError: it could not be read just now.
        """
        key = ("image", index, self.image_size)
        image = self.cache.get(key)
        if image is None:
            image = resize_image(self._read(index), self.image_size)
            self.cache.put(key, image)
        return image

    def _read(self, index: int) -> np.ndarray:
        row = self._rows[index]
        return read_pool_image(row["uri"], (row["height"], row["width"]))

    def find_broken(self) -> dict[str, str]:
        """image_id -> what is wrong, of all images that `indices` names and that cannot be used.

        All are opened, whatever is cached: which image a worker meets first depends on how many workers there are.
        """

        def look(index: int) -> str | None:
            try:
                self._read(index)
            except DataError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(THREADS) as executor:
            answers = zip(self._indices, executor.map(look, self._indices), strict=True)
            return {
                self._rows[index]["image_id"]: error
                for index, error in answers
                if error is not None
            }

    def mask(self, index: int) -> np.ndarray:
        """Labels at `image_size`, uint8 (height, width) or, of other kinds than dense, int64 (height, width, 2)."""
        if index in self._sieved:
            return self._sieved[index]
        key = ("labels", index, self._version(index), self.image_size)
        mask = self.cache.get(key)
        if mask is None:
            mask = self._resized(index)[0]
            self.cache.put(key, mask)
        return mask

    def regions(self, index: int) -> np.ndarray:
        """The number of the region of each label in `mask`, from 1, and 0 where there is none: integers (height, width)."""
        if self.partial:
            mask = self.mask(index)
            return np.where(mask[..., 0] != 0, mask[..., 1], 0)
        key = ("regions", index, self._version(index), self.image_size)
        numbers = self.cache.get(key)
        if numbers is None:
            numbers = self._resized(index)[1]
            self.cache.put(key, numbers)
        return numbers

    def _resized(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels and numbers of regions at `image_size`."""
        mask, numbers = self._native_mask(index)
        if self.scattered and not self._all_masks:
            return resize_scattered(mask, self.image_size, numbers != 0), resize_scattered(
                numbers, self.image_size, numbers != 0
            )
        return resize_regions(mask, self.image_size, numbers)

    def sieve(self, probabilities: Probabilities) -> None:
        """Until the next `update`, believe labels of one class only where a model finds them likely (ASAL)."""
        from ray_al.train.sieve import MIN_PIXELS, sieve

        for index in self._indices:
            target = self.mask(index).copy()
            smallest = (
                MIN_PIXELS
                * target[..., 0].size
                / (self._rows[index]["height"] * self._rows[index]["width"])
            )
            likely = probabilities(index)
            for number in np.unique(target[..., 1][target[..., 0] != 0]):
                inside = target[..., 1] == number
                bits = int(target[..., 0][inside][0])
                if bits.bit_count() == 1 and np.count_nonzero(inside) >= smallest:
                    keep = inside.copy()
                    keep[inside] = sieve(likely[bits.bit_length() - 1][inside])
                    target[inside & ~keep] = 0
            self._sieved[index] = target

    def class_pixels(self) -> tuple[int, ...]:
        """Labelled native pixels by class over all `indices`; a pixel that may have several classes counts in equal parts."""
        total = np.zeros(self.dataset.num_classes, dtype=np.float64)
        for index in self._indices:
            key = (index, self._version(index))
            if key not in self._pixels:
                self._native_mask(index)
            total += self._pixels[key]
        return tuple(round(float(count)) for count in total)

    def _version(self, index: int) -> int:
        return -1 if self._all_masks else len(self._labels[index])

    def _native_mask(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels in native pixels, and the region of each, from 1 (0: no label); whole masks have no regions."""
        row = self._rows[index]
        if self._all_masks:
            mask = read_mask(row["mask_uri"], self.dataset.decoder)
            if mask.shape != (row["height"], row["width"]):
                size, wanted = (
                    f"{shape[0]}x{shape[1]}"
                    for shape in (mask.shape, (row["height"], row["width"]))
                )
                raise DataError(
                    f"{row['mask_uri']}: the mask is {size} pixels, its image {wanted}; export the mask at the image's size"
                )
            numbers = np.zeros(mask.shape, dtype=np.int64)
            mask = np.stack([bits_of_ids(mask), numbers], axis=-1) if self.partial else mask
        elif self.partial:
            mask = compose_targets(self._labels[index], row["height"], row["width"])
            numbers = mask[..., 1]
        else:
            parts = ((part.box, part.mask) for part in self._labels[index] if part.mask is not None)
            mask, numbers = compose_numbered(parts, row["height"], row["width"])
        self._pixels[index, self._version(index)] = _count_classes(mask, self.dataset.num_classes)
        return mask, numbers


def _count_classes(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """float64 (num_classes,)."""
    if mask.ndim == 2:
        return np.bincount(mask[mask != IGNORE_INDEX], minlength=256)[:num_classes].astype(
            np.float64
        )
    sets, counts = np.unique(mask[..., 0], return_counts=True)
    members = (sets[:, None] >> np.arange(num_classes)) & 1
    total: np.ndarray = (members * (counts / np.maximum(members.sum(1), 1))[:, None]).sum(0)
    return total

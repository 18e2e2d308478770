"""The labelled images of a run, which are read once and kept between cycles."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

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
from ray_al.datasets.images import (
    read_seen,
    read_void,
    resize_regions,
    resize_scattered,
)
from ray_al.datasets.masks import read_mask
from ray_al.datasets.tiles import file_of, split_uri
from ray_al.train.sieve import MIN_PIXELS, sieve_regions

THREADS = 8
"""Number of images that are read in parallel to find broken ones."""
Probabilities = Callable[[int], np.ndarray]
"""Number of an image -> its class probabilities at the size of the labels, float32 (C, H, W)."""


class _Row(NamedTuple):
    """An image of the manifest."""

    image_id: str
    uri: str
    mask_uri: str | None
    height: int
    width: int


class LabelledImages:
    """Gives images and masks by their numbers in the manifest.

    The mask of dense labels holds class ids, uint8 (H, W), with 255 for no label. The mask of
    other kinds of labels is int64 (H, W, 2): the set of classes that a pixel may have, as bits (0
    for no label), and the number of the pixel's region in the image, from 1 (0 for none).

    Args:
        storage: the run directory.
        manifest: the pool, of schema MANIFEST_SCHEMA.
        dataset: decoder of whole masks, which the upper bound trains on.
        image_size: (height, width) in pixels of the images and masks.
        cache: cache of decoded arrays.
        partial: whether labels are sets of classes.
        scattered: whether labels are single pixels or little more. If so, each pixel of a smaller
            mask takes one of the labels that lie within it.
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
        self.storage = storage
        self.dataset = dataset
        self.image_size = image_size
        self.cache = cache
        self.partial = partial
        self.scattered = scattered
        columns = (manifest.column(name).to_pylist() for name in ("image_index", *_Row._fields))
        self._rows = {index: _Row(*values) for index, *values in zip(*columns, strict=True)}
        self._parts: list[FileRef] = []
        self._labels: dict[int, list[Part]] = {}
        self._sieved: dict[int, np.ndarray] = {}
        self._pixels: dict[tuple[int, int], np.ndarray] = {}
        self._all_masks = False
        self._indices: list[int] = []
        self._by_file: dict[str, list[int]] = {}

    def update(
        self,
        label_parts: Sequence[FileRef],
        *,
        all_masks: bool = False,
        left_out: Sequence[int] = (),
    ) -> None:
        """Read new label parts, or all of them if they do not continue those read before.

        Args:
            label_parts: all label parts so far, oldest first.
            all_masks: use the whole masks of all images that have one, instead of labels.
            left_out: numbers of images that are not trained on.

        Raises:
            DataError: a part belongs to another run.
            StorageError: a part is missing or differs from what its event recorded.
        """
        if list(label_parts[: len(self._parts)]) != self._parts:
            self._parts = []
            self._labels = {}
            self._pixels = {}
        for ref in label_parts[len(self._parts) :]:
            self._read_part(ref)
            self._parts.append(ref)
        self._all_masks = all_masks
        self._sieved = {}
        known = set(self._labels)
        if all_masks:
            known = {index for index, row in self._rows.items() if row.mask_uri}
        self._indices = sorted(known - set(left_out))
        self._by_file = self._tiles_by_file()

    def _tiles_by_file(self) -> dict[str, list[int]]:
        """Return the tiles that are trained on, by their files; whole images are not listed."""
        tiles: dict[str, list[int]] = {}
        for index in self._indices:
            uri, tile = split_uri(self._rows[index].uri)
            if tile is not None:
                tiles.setdefault(uri, []).append(index)
        return tiles

    def _read_part(self, ref: FileRef) -> None:
        table = read_parquet(self.storage.read_ref(ref))
        wanted = ("image_index", "box", "mask", "classes")
        present = [name for name in wanted if name in table.column_names]
        for row in table.select(present).to_pylist():
            index = row["image_index"]
            if index not in self._rows:
                raise DataError(
                    f"{self.storage.uri(ref.path)}: image_index {index} is not in "
                    "manifest.parquet; the part belongs to another run"
                )
            top, left, bottom, right = row["box"]
            box = Box(top=top, left=left, bottom=bottom, right=right)
            self._labels.setdefault(index, []).append(Part.of_row(box, row))

    @property
    def indices(self) -> list[int]:
        """Numbers of the images that are trained on, ascending."""
        return self._indices

    def image(self, index: int) -> np.ndarray:
        """Return an image at `image_size`, uint8 (H, W, 3).

        Raises:
            DataError: the image cannot be used.
            ReadError: the image cannot be read at the moment.
        """
        key = ("image", index, self.image_size)
        image = self.cache.get(key)
        if image is None:
            image = self._seen(index)
            # Decoding a file takes long, so all of its tiles that are trained on are kept.
            for other in self._by_file.get(file_of(self._rows[index].uri), ()):
                key_of_other = ("image", other, self.image_size)
                if other != index and self.cache.get(key_of_other) is None:
                    self.cache.put(key_of_other, self._seen(other))
            self.cache.put(key, image)
        return image

    def _seen(self, index: int) -> np.ndarray:
        row = self._rows[index]
        size = (row.height, row.width)
        return read_seen(row.uri, self.image_size, self.dataset.pixels, size)

    def core(self, index: int, seen: np.ndarray) -> np.ndarray:
        """Return the part of an array (H, W, …) at `image_size` for which a tile stands.

        It is the whole array if the image is no tile.
        """
        _, tile = split_uri(self._rows[index].uri)
        return seen if tile is None else tile.cut(seen)

    def find_broken(self) -> dict[str, str]:
        """Find all images of `indices` that cannot be used.

        All are opened, even cached ones: the images that a worker met depend on the number of
        workers, and the answer must not.

        Returns:
            image_id -> description of the fault.
        """

        def look(index: int) -> str | None:
            try:
                self._seen(index)
            except DataError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(THREADS) as executor:
            answers = zip(self._indices, executor.map(look, self._indices), strict=True)
            return {
                self._rows[index].image_id: error for index, error in answers if error is not None
            }

    def mask(self, index: int) -> np.ndarray:
        """Return the labels of an image at `image_size`, in the format of this class."""
        if index in self._sieved:
            return self._sieved[index]
        key = ("labels", index, self._version(index), self.image_size)
        mask = self.cache.get(key)
        if mask is None:
            mask = self._resized(index)[0]
            self.cache.put(key, mask)
        return mask

    def view(self, index: int, view: int, origin: Callable[[], np.ndarray]) -> np.ndarray:
        """Return `mask` as a view of the image shows it.

        Class ids are kept like masks. Sets of classes, eight bytes each, would take more memory
        than the features of the view, and are gathered each time.

        Args:
            index: number of the image.
            view: number of the view.
            origin: computes for each pixel of the view the flat index of the image pixel that it
                shows (`ViewDraw.source_index`); the same function for each call with this view.
        """
        key = ("view", index, view, self._version(index), self.image_size)
        is_kept = not self.partial and index not in self._sieved
        seen = self.cache.get(key) if is_kept else None
        if seen is None:
            mask = self.mask(index)
            seen = mask.reshape(-1, *mask.shape[2:])[origin()]
            if is_kept:
                self.cache.put(key, seen)
        return seen

    def regions(self, index: int) -> np.ndarray:
        """Return the region number of each label in `mask`: integers (H, W), 0 without a label."""
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
        """Return labels and region numbers at `image_size`."""
        mask, numbers = self._native_mask(index)
        _, tile = split_uri(self._rows[index].uri)
        if tile is not None:
            no_label = 0 if self.partial else IGNORE_INDEX
            return tile.place(mask, no_label), tile.place(numbers, 0)
        if self.scattered and not self._all_masks:
            labelled = numbers != 0
            return (
                resize_scattered(mask, self.image_size, labelled),
                resize_scattered(numbers, self.image_size, labelled),
            )
        return resize_regions(mask, self.image_size, numbers)

    def sieve(self, probabilities: Probabilities) -> None:
        """Drop labels of a single class at unlikely pixels (ASAL) until the next `update`.

        Args:
            probabilities: predicts an image.
        """
        for index in self._indices:
            row, mask = self._rows[index], self.mask(index)
            _, tile = split_uri(row.uri)
            native = row.height * row.width if tile is None else math.prod(tile.window)
            smallest = MIN_PIXELS * mask[..., 0].size / native
            self._sieved[index] = sieve_regions(mask, probabilities(index), smallest)

    def class_pixels(self) -> tuple[int, ...]:
        """Count the labelled native pixels of each class over all `indices`.

        A pixel that may have several classes counts for each of them in equal parts.
        """
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
        """Return labels in native pixels and the region number of each, from 1 (0: no label).

        Whole masks have no regions.
        """
        row = self._rows[index]
        if self._all_masks:
            mask = self._whole_mask(row)
            numbers = np.zeros(mask.shape, dtype=np.int64)
            mask = np.stack([bits_of_ids(mask), numbers], axis=-1) if self.partial else mask
        elif self.partial:
            mask = compose_targets(self._labels[index], row.height, row.width)
            numbers = mask[..., 1]
        else:
            parts = ((part.box, part.mask) for part in self._labels[index] if part.mask is not None)
            mask, numbers = compose_numbered(parts, row.height, row.width)
        if self.dataset.pixels.nodata is not None:
            void = read_void(row.uri, self.dataset.pixels)
            mask, numbers = _without_labels(mask, numbers, void)
        self._pixels[index, self._version(index)] = _count_classes(mask, self.dataset.num_classes)
        return mask, numbers

    def _whole_mask(self, row: _Row) -> np.ndarray:
        """Read the mask of an image, uint8 (H, W); DataError if its size is not the image's."""
        mask = read_mask(str(row.mask_uri), self.dataset.decoder)
        if mask.shape != (row.height, row.width):
            raise DataError(
                f"{row.mask_uri}: the mask is {mask.shape[0]}x{mask.shape[1]} pixels, its image "
                f"{row.height}x{row.width}; export the mask at the image's size"
            )
        return mask


def _without_labels(
    mask: np.ndarray, numbers: np.ndarray, void: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and region numbers without those of pixels that have no data."""
    no_label = IGNORE_INDEX if mask.ndim == 2 else 0
    cleared = np.where(void if mask.ndim == 2 else void[..., None], no_label, mask)
    return cleared.astype(mask.dtype), np.where(void, 0, numbers).astype(numbers.dtype)


def _count_classes(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the labelled pixels of each class, float64 (num_classes,)."""
    if mask.ndim == 2:
        return np.bincount(mask[mask != IGNORE_INDEX], minlength=256)[:num_classes].astype(
            np.float64
        )
    sets, counts = np.unique(mask[..., 0], return_counts=True)
    members = (sets[:, None] >> np.arange(num_classes)) & 1
    total: np.ndarray = (members * (counts / np.maximum(members.sum(1), 1))[:, None]).sum(0)
    return total

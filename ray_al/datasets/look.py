"""Look at an image and its mask and note what a check of the data set needs."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ray_al.core.errors import DataError
from ray_al.core.types import ImageFile
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.images import read_image_size
from ray_al.datasets.mask_decoder import UnknownValuesError, count_values
from ray_al.datasets.masks import read_decoded
from ray_al.datasets.pixels import PixelRule, UsedRange
from ray_al.datasets.rasters import open_values
from ray_al.datasets.read import read_data
from ray_al.datasets.strips import row_strips


@dataclass(frozen=True, kw_only=True)
class ImageLook:
    """The facts about an image.

    Attributes:
        num_bytes, digest: of the file; 0 and empty if it was not read as a whole.
        size: (height, width) in pixels; None if the image cannot be read.
        error: why the image cannot be used.
        used: the part of its type's range that is used, where that range was taken for granted.
        clipped_share: share of its values that lie outside `data.value_range`.
    """

    num_bytes: int = 0
    digest: str = ""
    size: tuple[int, int] | None = None
    error: str | None = None
    used: UsedRange | None = None
    clipped_share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MaskLook:
    """The facts about a mask.

    Attributes:
        error: why the mask cannot be used, its size included.
        has_other_size: whether it cannot be used because its size is not that of its image.
        counts: number of pixels of each class id that occurs; None without a usable mask.
        numbers: those in the mask.
        void_numbers: those of them that became "no label".
        unknown: the error of a mask with values of which nothing is known.
    """

    error: str | None = None
    has_other_size: bool = False
    counts: Mapping[int, int] | None = None
    numbers: frozenset[int] = frozenset()
    void_numbers: frozenset[int] = frozenset()
    unknown: UnknownValuesError | None = None


@dataclass(frozen=True, kw_only=True)
class Look:
    """The facts about an image and its mask."""

    file: ImageFile
    image: ImageLook
    mask: MaskLook


def count_pixels(looks: Iterable[Look]) -> Counter[int]:
    """Return the number of pixels of each class id in all usable masks."""
    total: Counter[int] = Counter()
    for one in looks:
        total.update(one.mask.counts or {})
    return total


def look(file: ImageFile, dataset: Dataset, *, whole: bool = True) -> Look:
    """Read an image and its mask.

    Args:
        file: of the image and its mask.
        dataset: says how masks are decoded.
        whole: whether the image is read as a whole, or its header alone.
    """
    image = _look_at_image(file.uri, dataset.pixels, whole=whole)
    if file.mask_uri is None:
        return Look(file=file, image=image, mask=MaskLook())
    return Look(file=file, image=image, mask=_look_at_mask(file.mask_uri, dataset, image.size))


def _look_at_image(uri: str, rule: PixelRule, *, whole: bool) -> ImageLook:
    num_bytes, digest = 0, ""
    try:
        if not whole:
            return ImageLook(size=read_image_size(uri, rule))
        data = read_data(uri)
        num_bytes, digest = len(data), hashlib.sha256(data).hexdigest()
        opened = open_values(data, uri, rule.channels)
        del data  # of a scan, half a gigabyte
        rule.check(opened.stored, uri)
        values = opened.values(uri)
        _check_values(values, rule, uri, opened.declared)
    except DataError as error:
        return ImageLook(num_bytes=num_bytes, digest=digest, error=str(error))
    return ImageLook(
        num_bytes=num_bytes,
        digest=digest,
        size=opened.stored.size,
        used=rule.used_range(values),
        clipped_share=rule.clipped_share(values),
    )


def _check_values(values: np.ndarray, rule: PixelRule, uri: str, declared: float | None) -> None:
    """Refuse an image whose values cannot be used; the rows of a large one are named."""
    height, width = values.shape[:2]
    for rows in row_strips(height, width):
        is_whole = rows.stop - rows.start == height
        place = uri if is_whole else f"{uri} (rows {rows.start} to {rows.stop - 1})"
        rule.apply(values[rows], place, declared)


def _look_at_mask(uri: str, dataset: Dataset, size: tuple[int, int] | None) -> MaskLook:
    try:
        mask = read_decoded(uri, dataset.decoder)
    except UnknownValuesError as error:
        return MaskLook(error=str(error), unknown=error)
    except DataError as error:
        return MaskLook(error=str(error))
    height, width = mask.ids.shape
    if size is not None and (height, width) != size:
        words = (
            f"{uri}: {height}x{width} pixels, its image {size[0]}x{size[1]}; export the mask at "
            "the image's size"
        )
        return MaskLook(error=words, has_other_size=True)
    return MaskLook(
        counts=count_values(mask.ids), numbers=mask.numbers, void_numbers=mask.void_numbers
    )

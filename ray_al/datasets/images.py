"""Photographs: any mode and orientation to uint8 RGB."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ray_al.core.errors import DataError
from ray_al.core.storage import read_uri

ORIENTATION = 0x0112
TRANSPOSED = frozenset({5, 6, 7, 8})
_FAULTS = (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError)


def read_image(uri: str) -> np.ndarray:
    """Decode an image, turned as its EXIF data says.

    Returns:
        uint8 (H, W, 3).

    Raises:
        DataError: it is missing, broken or cut off.
    """
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(read_uri(uri))))
        return np.array(image.convert("RGB"))
    except _FAULTS as error:
        raise DataError(f"{uri}: cannot be read as an image ({error}); replace or remove the file") from None


def read_image_size(uri: str) -> tuple[int, int]:
    """(height, width) after EXIF rotation, from the header alone.

    Raises:
        DataError: there is no readable header.
    """
    try:
        if "://" not in uri:
            with Image.open(uri) as image:
                return _size(image)
        return _size(Image.open(io.BytesIO(read_uri(uri))))
    except _FAULTS as error:
        raise DataError(f"{uri}: cannot be read as an image ({error}); replace or remove the file") from None


def _size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode the whole picture to look behind it
        return height, width
    return (width, height) if image.getexif().get(ORIENTATION) in TRANSPOSED else (height, width)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear with antialiasing: uint8 (H, W, 3) to (*size, 3)."""
    if image.shape[:2] == tuple(size):
        return image
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour: any type (H, W) or (H, W, …) to `size`."""
    if mask.shape[:2] == tuple(size):
        return mask
    if mask.ndim > 2 or mask.dtype != np.uint8:
        rows, columns = (_nearest(old, new) for old, new in zip(mask.shape[:2], size, strict=True))
        return mask[rows[:, None], columns[None, :]]
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def resize_scattered(mask: np.ndarray, size: tuple[int, int], labelled: np.ndarray) -> np.ndarray:
    """Nearest neighbour, but a cell that would stay empty takes a label from within it: single pixels survive a smaller size.

    Args:
        mask: as of `resize_mask`.
        labelled: bool (H, W), where it holds a label. Of several in an empty cell the first, row by row, counts.
    """
    empty = resize_mask(labelled.astype(np.uint8), size) == 0
    return _fill_empty(resize_mask(mask, size), empty, mask, labelled)


def resize_regions(mask: np.ndarray, size: tuple[int, int], numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbour, but a region of which it would leave nothing keeps the cells that it lies in and no other label takes.

    Where regions that are smaller than a cell share it, the first of them, row by row, has it: a cell has one label.

    Args:
        mask: as of `resize_mask`.
        numbers: integers (H, W), the region of each labelled pixel, from 1; 0 where there is no label.

    Returns:
        `mask` and `numbers` at `size`.
    """
    if mask.shape[:2] == tuple(size):
        return mask, numbers
    kept = resize_mask(numbers, size)
    lost = np.bincount(numbers.ravel()) > 0
    lost[kept] = False
    lost[0] = False
    if not lost.any():
        return resize_mask(mask, size), kept
    empty, labelled = kept == 0, lost[numbers]
    return _fill_empty(resize_mask(mask, size), empty, mask, labelled), _fill_empty(kept, empty, numbers, labelled)


def _fill_empty(resized: np.ndarray, empty: np.ndarray, mask: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """`resized`, with the first labelled pixel of `mask` within each of its cells that is `empty`."""
    rows, columns = (np.arange(old) * new // old for old, new in zip(labelled.shape, empty.shape, strict=True))
    ys, xs = (places[::-1] for places in np.nonzero(labelled & empty[rows[:, None], columns[None, :]]))  # the last one first
    filled = resized.copy()
    filled[rows[ys], columns[xs]] = mask[ys, xs]
    return filled


def _nearest(old: int, new: int) -> np.ndarray:
    """Which of `old` positions Pillow takes for each of `new`, so that all kinds of masks are resized alike."""
    ramp = Image.fromarray(np.arange(old, dtype=np.int32)[None])
    return np.array(ramp.resize((new, 1), Image.Resampling.NEAREST))[0]

"""Photographs: any mode and orientation to uint8 RGB."""

import contextlib
import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.datasets.read import read_data

ORIENTATION = 0x0112
TRANSPOSED = frozenset({5, 6, 7, 8})
_FAULTS = (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError)


def read_image(uri: str) -> np.ndarray:
    """Decode an image, turned as its EXIF data says.

    Returns:
        uint8 (H, W, 3).

    Raises:
        DataError: it is missing, broken or cut off.
        ReadError: it could not be read just now, or memory did not suffice.
    """
    data = read_data(uri)
    return retried(uri, lambda: _decode(data, uri), (MemoryError,))


def _decode(data: bytes, uri: str) -> np.ndarray:
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        return np.array(image.convert("RGB"))
    except _FAULTS as error:
        raise DataError(f"{uri}: cannot be read as an image ({error}); replace or remove the file") from None


def read_pool_image(uri: str, size: tuple[int, int]) -> np.ndarray:
    """An image of the pool, of which the manifest knows the `size` (height, width): as `read_image`.

    Raises:
        DataError: also where the image is of another size, as its regions and labels would then lie on other pixels.
        ReadError: as of `read_image`.
    """
    image = read_image(uri)
    if image.shape[:2] != tuple(size):
        found = f"{image.shape[0]}x{image.shape[1]} pixels, {size[0]}x{size[1]} when the run was made"
        raise DataError(f"{uri}: the image has {found}; put the image of then back")
    return image


def read_image_size(uri: str) -> tuple[int, int]:
    """(height, width) after EXIF rotation, from the header alone.

    Raises:
        DataError: there is no readable header.
        ReadError: it could not be read just now.
    """
    if "://" not in uri:
        # Where this fails, the whole file is read: that tells a fault of the disk from one of the file.
        with contextlib.suppress(*_FAULTS, MemoryError), Image.open(uri) as image:
            return _size(image)
    data = read_data(uri)
    return retried(uri, lambda: _header_size(data, uri), (MemoryError,))


def _header_size(data: bytes, uri: str) -> tuple[int, int]:
    try:
        return _size(Image.open(io.BytesIO(data)))
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
    """Nearest neighbour: uint8 (H, W), or any type (H, W, …), to `size`."""
    if mask.shape[:2] == tuple(size):
        return mask
    if mask.ndim > 2:
        rows, columns = (_nearest(old, new) for old, new in zip(mask.shape[:2], size, strict=True))
        return mask[rows[:, None], columns[None, :]]
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def resize_scattered(mask: np.ndarray, size: tuple[int, int], labelled: np.ndarray) -> np.ndarray:
    """Nearest neighbour, but a cell that would stay empty takes a label from within it: single pixels survive a smaller size.

    Args:
        mask: as of `resize_mask`.
        labelled: bool (H, W), where it holds a label. Of several in an empty cell the first, row by row, counts.
    """
    resized, (height, width) = resize_mask(mask, size).copy(), labelled.shape
    ys, xs = np.nonzero(labelled)
    rows, columns = ys * size[0] // height, xs * size[1] // width
    empty = ~resize_mask(labelled.astype(np.uint8), size).astype(bool)[rows, columns]
    last_first = np.flatnonzero(empty)[::-1]
    resized[rows[last_first], columns[last_first]] = mask[ys[last_first], xs[last_first]]
    return resized


def _nearest(old: int, new: int) -> np.ndarray:
    """Which of `old` positions Pillow takes for each of `new`, so that all kinds of masks are resized alike."""
    ramp = Image.fromarray(np.arange(old, dtype=np.int32)[None])
    return np.array(ramp.resize((new, 1), Image.Resampling.NEAREST))[0]

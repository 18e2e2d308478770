"""Photographs: 8-bit pictures of any colour mode and orientation to uint8 RGB."""

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.datasets.pictures import Header, decoding, from_stream, open_picture, read_header
from ray_al.datasets.read import read_data

WHAT = "an image"
MODES = frozenset({"1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr"})


def read_image(uri: str) -> np.ndarray:
    """Decode an image file; see `decode_image`.

    Raises:
        DataError: it is missing, broken, or nothing that can be used.
        ReadError: it could not be read just now, or memory did not suffice.
    """
    data = read_data(uri)
    return retried(uri, lambda: decode_image(data, uri), (MemoryError,))


def read_pool_image(uri: str, size: tuple[int, int]) -> np.ndarray:
    """An image of the pool, of which the manifest knows the `size` (height, width): as `read_image`.

    Raises:
        DataError: also where the image is of another size, as its regions and labels would then lie on other pixels.
        ReadError: as of `read_image`.
    """
    image = read_image(uri)
    if image.shape[:2] != tuple(size):
        found = (
            f"{image.shape[0]}x{image.shape[1]} pixels, {size[0]}x{size[1]} when the run was made"
        )
        raise DataError(f"{uri}: the image has {found}; put the image of then back")
    return image


def decode_image(data: bytes, source: str) -> np.ndarray:
    """Decode an image, turned as its orientation says. Greyscale, palette and CMYK become RGB.

    Returns:
        uint8 (H, W, 3).

    Raises:
        DataError: it is broken or cut off, or what it holds cannot become 8-bit RGB without loss: more than 8 bits or three channels,
            several pages, transparent pixels.
    """
    header, image = open_picture(data, source, WHAT)
    _check(header, source)
    with decoding(source, WHAT):
        if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
            num_clear = sum(image.convert("RGBA").getchannel("A").histogram()[:255])
            if num_clear:
                raise DataError(
                    f"{source}: {num_clear} pixels are transparent, and nothing says what lies behind them; save it on a background, without "
                    "transparency (a fourth channel that is none, such as infrared, cannot be used and must be removed)"
                )
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def read_image_size(uri: str) -> tuple[int, int]:
    """(height, width) of the image as it is shown, from the header alone.

    Raises:
        DataError: there is no readable header, or it tells of something that `decode_image` refuses.
        ReadError: it could not be read just now.
    """
    header = from_stream(uri, lambda stream: read_header(stream, uri, WHAT))
    _check(header, uri)
    return header.height, header.width


def _check(header: Header, source: str) -> None:
    if header.has_pages:
        raise DataError(f"{source}: holds several pages or frames; save each as a file of its own")
    if header.is_float:
        raise DataError(
            f"{source}: holds floating-point or signed numbers of {header.bits} bits; {_SCALE}"
        )
    if header.bits > 8:
        raise DataError(f"{source}: holds {header.bits} bits a channel; {_SCALE}")
    if not header.known_channels or header.mode not in MODES:
        kind = (
            f"{header.channels} channels"
            if not header.known_channels
            else f"colours in the mode {header.mode}"
        )
        raise DataError(
            f"{source}: holds {kind}; only greyscale and RGB can be used: save the three channels that matter as 8-bit RGB"
        )


_SCALE = "only 8-bit images can be used: save it as 8-bit, with the range of values that matters stretched to 0 to 255"


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


def resize_regions(
    mask: np.ndarray, size: tuple[int, int], numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
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
    return _fill_empty(resize_mask(mask, size), empty, mask, labelled), _fill_empty(
        kept, empty, numbers, labelled
    )


def _fill_empty(
    resized: np.ndarray, empty: np.ndarray, mask: np.ndarray, labelled: np.ndarray
) -> np.ndarray:
    """`resized`, with the first labelled pixel of `mask` within each of its cells that is `empty`."""
    rows, columns = (
        np.arange(old) * new // old for old, new in zip(labelled.shape, empty.shape, strict=True)
    )
    ys, xs = (
        places[::-1] for places in np.nonzero(labelled & empty[rows[:, None], columns[None, :]])
    )  # the last one first
    filled = resized.copy()
    filled[rows[ys], columns[xs]] = mask[ys, xs]
    return filled


def _nearest(old: int, new: int) -> np.ndarray:
    """Which of `old` positions Pillow takes for each of `new`, so that all kinds of masks are resized alike."""
    ramp = Image.fromarray(np.arange(old, dtype=np.int32)[None])
    return np.array(ramp.resize((new, 1), Image.Resampling.NEAREST))[0]

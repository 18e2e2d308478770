"""Work through large pictures a few rows at a time.

Most operations of numpy and Pillow make copies of all that they are given, some of eight bytes per
pixel; of a scan of 180 megapixels each of them would take gigabytes.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

STRIP_PIXELS = 1 << 22
"""Number of pixels in a strip."""
WHOLE_PIXELS = 1 << 24
"""Number of pixels up to which a picture is one strip."""


def row_strips(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of the strips of a picture, from top to bottom."""
    rows = max(1, height if height * width <= WHOLE_PIXELS else STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def strips_of(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the strips of an array (H, W, …) as views."""
    for rows in row_strips(values.shape[0], values.shape[1]):
        yield values[rows]


def strips_of_picture(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield the rows of each strip of a picture, and the strip as a picture of its own."""
    width, height = image.size
    for rows in row_strips(height, width):
        whole = rows.stop - rows.start == height
        yield rows, image if whole else image.crop((0, rows.start, width, rows.stop))


def values_of_picture(image: Image.Image, mode: str | None = None) -> np.ndarray:
    """Return the values of a picture, without the further copies of all of it that Pillow makes.

    Args:
        image: the picture.
        mode: to which it is converted first; None leaves it as it is.

    Returns:
        An array (H, W), or (H, W, C) if the mode has several channels.
    """
    values: np.ndarray | None = None
    for rows, strip in strips_of_picture(image):
        part = np.array(strip if mode in (None, strip.mode) else strip.convert(mode))
        if len(part) == image.size[1]:
            return part
        if values is None:
            values = np.empty((image.size[1], *part.shape[1:]), dtype=part.dtype)
        values[rows] = part
    assert values is not None, "a picture has at least one row"
    return values


def count_clear(image: Image.Image) -> int:
    """Return the number of pixels that are not opaque, of a picture with transparency."""
    return sum(
        sum(strip.convert("RGBA").getchannel("A").histogram()[:255])
        for _, strip in strips_of_picture(image)
    )

"""Find how a picture must be turned to be shown upright."""

import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture of an orientation is turned upright; one of orientation 1 is upright."""
_FLIPS = {2: (1,), 3: (0, 1), 4: (0,), 5: (), 6: (1,), 7: (0, 1), 8: (0,)}
"""Axes of an array that are reversed, for orientations from 5 after exchanging rows and columns."""
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return an array (H, W, …) turned upright, as `TURNS` does with a picture."""
    upright = values.swapaxes(0, 1) if orientation >= 5 else values
    return np.flip(upright, _FLIPS.get(orientation, ()))


def orientation_of(image: Image.Image) -> int:
    """Return the orientation of a picture, 1 to 8 as in EXIF.

    It is read from wherever PNG, JPEG, TIFF and WebP keep it: EXIF, XMP, or either as text.
    """
    # The method of the base class: that of PNG would decode the pixels to look behind them.
    value = Image.Image.getexif(image).get(ORIENTATION)
    if value is None and image.format != "TIFF":
        for block in _blocks(image):
            value = _orientation_in(block)
            if value is not None:
                break
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _blocks(image: Image.Image) -> Iterator[bytes]:
    """Yield the EXIF and XMP blocks that Pillow leaves unread."""
    for key in ("Raw profile type APP1", "Raw profile type xmp"):
        if key in image.info:
            yield bytes.fromhex("".join(image.info[key].split("\n")[3:]))
    for key in ("XML:com.adobe.xmp", "xmp"):
        if key in image.info:
            text = image.info[key]
            yield text.encode() if isinstance(text, str) else bytes(text)


def _orientation_in(block: bytes) -> int | None:
    if block.startswith(b"Exif\0\0"):
        exif = Image.Exif()
        exif.load(block)
        return exif.get(ORIENTATION)
    match = _XMP_ORIENTATION.search(block)
    return int(match[1]) if match else None

"""An image's mask from its label parts."""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from ray_al.core.types import IGNORE_INDEX, Box


def encode_mask(mask: np.ndarray) -> bytes:
    """uint8 (H, W) as an 8-bit greyscale PNG."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_mask(data: bytes) -> np.ndarray:
    """The inverse of `encode_mask`."""
    return np.array(Image.open(io.BytesIO(data)))


def compose_mask(parts: Iterable[tuple[Box, bytes]], height: int, width: int) -> np.ndarray:
    """uint8 (height, width): the labels of `parts`, 255 elsewhere. A label is never overwritten by "no label"."""
    mask = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    for box, data in parts:
        values = decode_mask(data)
        window = mask[box.top : box.bottom, box.left : box.right]
        np.copyto(window, values, where=values != IGNORE_INDEX)
    return mask

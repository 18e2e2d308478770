"""An image's labels from its label parts."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ray_al.core.types import IGNORE_INDEX, Box
from ray_al.datasets.bits import bits_of_ids, fill_bits


@dataclass(frozen=True, kw_only=True)
class Part:
    """One region's label.

    Attributes:
        mask: PNG of the box: class ids, 255 for no label, where `classes` is None; else 255 inside the region and 0 outside, or None
            where the region fills its box.
        classes: those that each pixel of the region may have, empty where nothing could be said; None where `mask` holds their classes.
    """

    box: Box
    mask: bytes | None
    classes: tuple[int, ...] | None = None

    @staticmethod
    def of_row(box: Box, row: Mapping[str, Any]) -> "Part":
        """The part of a row of LABEL_SCHEMA; files of earlier versions have no column `classes`."""
        classes = row.get("classes")
        return Part(box=box, mask=row["mask"], classes=None if classes is None else tuple(classes))


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
        np.copyto(
            mask[box.top : box.bottom, box.left : box.right], values, where=values != IGNORE_INDEX
        )
    return mask


def compose_numbered(
    parts: Iterable[tuple[Box, bytes]], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """`compose_mask`, and the part that each label is from: int32 (height, width), from 1, and 0 where there is no label."""
    mask = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    numbers = np.zeros((height, width), dtype=np.int32)
    for number, (box, data) in enumerate(parts, start=1):
        values = decode_mask(data)
        place = slice(box.top, box.bottom), slice(box.left, box.right)
        np.copyto(mask[place], values, where=values != IGNORE_INDEX)
        np.copyto(numbers[place], number, where=values != IGNORE_INDEX)
    return mask, numbers


def compose_targets(parts: Iterable[Part], height: int, width: int) -> np.ndarray:
    """What `parts` say of each pixel: int64 (height, width, 2), the set of classes that it may have, as bits, and its part's number from 1.

    Both are 0 where nothing is known. A later part replaces an earlier one, but a label is never overwritten by "no label".

    Raises:
        ConfigError: a class above 62.
    """
    targets = np.zeros((height, width, 2), dtype=np.int64)
    for number, part in enumerate(parts, start=1):
        values = _part_bits(part)
        window = targets[part.box.top : part.box.bottom, part.box.left : part.box.right]
        window[values != 0] = np.stack([values, np.full_like(values, number)], axis=-1)[values != 0]
    return targets


def _part_bits(part: Part) -> np.ndarray:
    if part.classes is None:
        assert part.mask is not None
        return bits_of_ids(decode_mask(part.mask))
    inside = (
        np.ones((part.box.height, part.box.width), dtype=bool)
        if part.mask is None
        else decode_mask(part.mask) != 0
    )
    return fill_bits(inside, (value for value in part.classes if value != IGNORE_INDEX))

"""Compose the labels of an image from the labels of its regions."""

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
    """The label of one region.

    Attributes:
        box: the bounding box of the region.
        mask: a PNG of the size of the box. If `classes` is None, it holds class ids, and 255 for no
            label. Otherwise it holds 255 inside the region and 0 outside; None if the region fills
            its box.
        classes: the classes that each pixel of the region may have, empty if nothing could be said;
            None if `mask` holds the class ids.
    """

    box: Box
    mask: bytes | None
    classes: tuple[int, ...] | None = None

    @staticmethod
    def of_row(box: Box, row: Mapping[str, Any]) -> "Part":
        """Return the part of a row of LABEL_SCHEMA, whose values Parquet leaves untyped.

        Files of earlier versions have no column `classes`.
        """
        classes = row.get("classes")
        return Part(box=box, mask=row["mask"], classes=None if classes is None else tuple(classes))


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode uint8 (H, W) as an 8-bit greyscale PNG."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_mask(data: bytes) -> np.ndarray:
    """Decode a PNG of `encode_mask` to uint8 (H, W)."""
    return np.array(Image.open(io.BytesIO(data)))


def compose_mask(parts: Iterable[tuple[Box, bytes]], height: int, width: int) -> np.ndarray:
    """Compose parts to the class ids of an image.

    A later part replaces an earlier one, but its pixels without a label replace nothing.

    Returns:
        uint8 (height, width), 255 where there is no label.
    """
    mask, _ = compose_numbered(parts, height, width)
    return mask


def compose_numbered(
    parts: Iterable[tuple[Box, bytes]], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compose parts as `compose_mask` does, and note from which part each label comes.

    Returns:
        The mask, and the number of the part of each pixel, from 1: int32 (height, width), 0 where
        there is no label.
    """
    mask = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    numbers = np.zeros((height, width), dtype=np.int32)
    for number, (box, data) in enumerate(parts, start=1):
        values = decode_mask(data)
        is_labelled = values != IGNORE_INDEX
        place = slice(box.top, box.bottom), slice(box.left, box.right)
        np.copyto(mask[place], values, where=is_labelled)
        np.copyto(numbers[place], number, where=is_labelled)
    return mask, numbers


def compose_targets(parts: Iterable[Part], height: int, width: int) -> np.ndarray:
    """Compose parts to the set of classes that each pixel may have.

    A later part replaces an earlier one, but its pixels without a label replace nothing.

    Returns:
        int64 (height, width, 2): the set of classes as bits, and the number of the part, from 1.
        Both are 0 where nothing is known.

    Raises:
        ConfigError: a class is above 62.
    """
    targets = np.zeros((height, width, 2), dtype=np.int64)
    for number, part in enumerate(parts, start=1):
        bits = _part_bits(part)
        is_labelled = bits != 0
        window = targets[part.box.top : part.box.bottom, part.box.left : part.box.right]
        window[is_labelled, 0] = bits[is_labelled]
        window[is_labelled, 1] = number
    return targets


def _part_bits(part: Part) -> np.ndarray:
    if part.classes is None:
        assert part.mask is not None
        return bits_of_ids(decode_mask(part.mask))
    everywhere = np.ones((part.box.height, part.box.width), dtype=bool)
    inside = everywhere if part.mask is None else decode_mask(part.mask) != 0
    return fill_bits(inside, (value for value in part.classes if value != IGNORE_INDEX))

"""Decode masks whose values are ids."""

from collections.abc import Iterable, Mapping

import numpy as np

from ray_al.core.errors import DataError
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.mask_decoder import DecodedMask, MaskDecoder, count_values, decode_numbers
from ray_al.datasets.mask_files import OpenMask

MAX_LISTED_IDS = 12


def decode_ids(
    opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray
) -> DecodedMask:
    """Decode a mask of ids.

    Args:
        opened: the mask file.
        decoder: says what the ids mean.
        source: the file, for messages.
        values: of `opened`, or a part of them.

    Raises:
        DataError: the file holds no certain ids, an unknown id, or a palette in another order.
    """
    _check_kind(opened, source, values)
    values = values[..., 0] if values.ndim == 3 else values
    counts = count_values(values)
    classes: dict[int, int] = {}
    for number in counts:
        class_id = decoder.class_of(number)
        if class_id is None:
            raise DataError(_unknown_id(number, counts, decoder, source))
        classes[number] = class_id
    if decoder.checks_palette and opened.palette is not None:
        _check_palette(opened.palette, counts, decoder, source)
    return decode_numbers(values, classes)


def _check_kind(opened: OpenMask, source: str, values: np.ndarray) -> None:
    """Refuse a file whose values are no certain ids."""
    if opened.is_lossy:
        raise DataError(
            f"{source}: a mask in lossy JPEG (or WebP) has wrong ids at borders; export it as PNG, "
            "or, if it is painted in the colours of classes, set data.mask_encoding=colors, "
            "data.colors and data.nearest_color=true"
        )
    if not opened.is_colored:
        return
    if int(values.max()) <= 1:
        raise DataError(
            f"{source}: holds one channel of flags per class; save class ids in one channel, as "
            ".argmax(-1) gives them"
        )
    raise DataError(
        f"{source}: a colour mask, but ids were expected; set data.mask_encoding=colors and "
        "data.colors"
    )


def _unknown_id(number: int, counts: Mapping[int, int], decoder: MaskDecoder, source: str) -> str:
    ids = ", ".join(map(str, list(counts)[:MAX_LISTED_IDS]))
    more = ", ..." if len(counts) > MAX_LISTED_IDS else ""
    has_map = decoder.id_map is not None
    known = "a class of the data set's table" if has_map else f"0 to {decoder.num_classes - 1}"
    return (
        f"{source}: id {number} on {counts[number]} pixels is no class ({known}) and not ignored; "
        f"the ids here are {ids}{more}. If they are grey levels of classes, set "
        "data.mask_encoding=colors and data.colors to these levels, e.g. "
        "[[0,0,0],[128,128,128]]; if all masks, also those of the other splits, count from 1, put "
        "a name for 0 in front of data.class_names and 0 into data.ignore_ids; add an id to "
        "data.ignore_ids only if it means 'no label'"
    )


def _check_palette(
    palette: np.ndarray, numbers: Iterable[int], decoder: MaskDecoder, source: str
) -> None:
    """Refuse an indexed picture in the colours of classes that numbers them in another order.

    Args:
        palette: uint8 (N, 3), the colour of each number.
        numbers: that occur.
        decoder: with the colours of classes.
        source: the file, for messages.
    """
    table = {color: number for number, color in enumerate(decoder.colors)}
    painted: dict[int, int] = {}
    for number in numbers:
        if number >= len(palette) or number == IGNORE_INDEX:
            continue
        other = table.get(tuple(palette[number].tolist()))
        if other is None:
            return
        painted[number] = other
    for number, other in painted.items():
        if number != other:
            raise DataError(
                f"{source}: its number {number} has the colour {tuple(palette[number].tolist())}, "
                f"which data.colors gives to class number {other}; the palette is in another "
                "order: set data.mask_encoding=colors"
            )

"""Decode masks whose values are ids."""

from collections.abc import Iterable, Mapping

import numpy as np

from ray_al.core.errors import DataError
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.mask_decoder import (
    DecodedMask,
    MaskDecoder,
    UnknownValuesError,
    count_values,
    decode_numbers,
)
from ray_al.datasets.mask_files import OpenMask

MAX_LISTED_IDS = 12
MAX_COLORS = 256
"""Number of different colours up to which a picture may be a mask."""


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
    _check_kind(opened, decoder, source, values)
    values = values[..., 0] if values.ndim == 3 else values
    counts = count_values(values)
    classes: dict[int, int] = {}
    for number in counts:
        class_id = decoder.class_of(number)
        if class_id is None:
            raise _unknown_id(number, counts, decoder, source)
        classes[number] = class_id
    if decoder.checks_palette and opened.palette is not None:
        _check_palette(opened.palette, counts, decoder, source)
    return decode_numbers(values, classes)


def _check_kind(opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray) -> None:
    """Refuse a file whose values are no certain ids."""
    if opened.is_lossy:
        raise DataError(
            f"{source}: a mask in lossy JPEG (or WebP) has wrong ids wherever two classes meet, "
            "and nothing can tell which; export the masks again, as PNG"
        )
    if not opened.is_colored:
        return
    if int(values.max()) <= 1:
        raise DataError(
            f"{source}: holds one channel of flags per class; save class ids in one channel, as "
            ".argmax(-1) gives them"
        )
    colors = np.unique(opened.values.reshape(-1, 3), axis=0)
    seen = f"{source}: a colour mask, but ids were expected"
    if len(colors) > MAX_COLORS:
        raise DataError(
            f"{seen}, and its {len(colors)} colours are too many for classes; give masks that hold "
            "one value per class, or, if only borders between the colours of classes are smooth, "
            "write those colours into data.mask_values and set data.nearest_color=true"
        )
    raise UnknownValuesError(
        seen,
        [(red, green, blue) for red, green, blue in colors.tolist()],
        "say in data.mask_values what each colour means, or, if each class has one colour, set "
        "data.mask_encoding=colors and data.colors",
    )


def _unknown_id(
    number: int, counts: Mapping[int, int], decoder: MaskDecoder, source: str
) -> UnknownValuesError:
    ids = ", ".join(map(str, list(counts)[:MAX_LISTED_IDS]))
    more = ", ..." if len(counts) > MAX_LISTED_IDS else ""
    if decoder.is_table:
        known = "is not in the table of mask values"
    elif decoder.id_map is not None:
        known = "is no class (a class of the data set's table) and not ignored"
    else:
        known = f"is no class (0 to {decoder.num_classes - 1}) and not ignored"
    return UnknownValuesError(
        f"{source}: id {number} on {counts[number]} pixels {known}; the ids here are {ids}{more}",
        counts,
        decoder.advice(counts),
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
    # Colours are those of class ids beside a table, and of the numbers in files without one.
    meant = {
        color: number if decoder.is_table else decoder.class_of(number)
        for number, color in enumerate(decoder.colors)
    }
    painted: dict[int, int] = {}
    for number in numbers:
        if number >= len(palette) or (number == IGNORE_INDEX and not decoder.is_table):
            continue
        other = meant.get(tuple(palette[number].tolist()))
        if other is None:
            return
        painted[number] = other
    for number, other in painted.items():
        if decoder.class_of(number) != other:
            raise DataError(
                f"{source}: its number {number} has the colour {tuple(palette[number].tolist())}, "
                f"which data.colors gives to {decoder.shown_class(other)}; the palette is in "
                "another order: write these colours into data.mask_values in place of ids, or, "
                "one colour per class, set data.mask_encoding=colors"
            )

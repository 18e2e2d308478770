"""Decode masks whose values are colours."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ray_al.core.errors import DataError
from ray_al.datasets.mask_decoder import (
    DecodedMask,
    MaskDecoder,
    UnknownValuesError,
    count_values,
    decode_numbers,
    map_values,
)
from ray_al.datasets.mask_files import OpenMask, transparent
from ray_al.datasets.nearest import nearest_numbers, too_alike
from ray_al.datasets.strips import row_strips


def decode_colors(
    opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray
) -> DecodedMask:
    """Decode a mask of colours; numbers stand for the colours of a palette, or for grey levels.

    Args:
        opened: the mask file.
        decoder: with the colours of classes.
        source: the file, for messages.
        values: of `opened`, or a part of them.

    Raises:
        DataError: the file holds no certain colours, or an unknown colour.
    """
    _check_kind(opened, decoder, source, values)
    numbers = _class_numbers(opened, decoder, source, values)
    classes: dict[int, int] = {}
    for number in count_values(numbers):
        class_id = decoder.class_of(number)
        assert class_id is not None, "colours and classes have the same numbers"
        classes[number] = class_id
    return decode_numbers(numbers, classes)


def _check_kind(opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray) -> None:
    """Refuse a file whose values are no certain colours."""
    if opened.is_lossy and not decoder.nearest_color:
        raise DataError(
            f"{source}: a mask in lossy JPEG (or WebP) has wrong colours at borders; export it as "
            "PNG, or set data.nearest_color=true"
        )
    if opened.is_lossy and (alike := too_alike(decoder.colors)) is not None:
        raise DataError(
            f"{source}: a mask in lossy JPEG (or WebP) cannot tell the colours {alike[0]} and "
            f"{alike[1]} apart; export the masks again, as PNG"
        )
    if opened.num_clear:
        raise transparent(opened.num_clear, source)
    if opened.palette is not None and values.size and int(values.max()) >= len(opened.palette):
        raise DataError(
            f"{source}: number {values.max()} in a palette of {len(opened.palette)} colours; the "
            "file is damaged, save it again"
        )
    if values.ndim == 2 and values.size and not 0 <= int(values.min()) <= int(values.max()) <= 255:
        raise DataError(
            f"{source}: numbers from {values.min()} to {values.max()}, but colours of 8 bits were "
            "expected; write the numbers into data.mask_values, or, if they are class ids, set "
            "data.mask_encoding=ids"
        )


def _packed(opened: OpenMask, values: np.ndarray) -> np.ndarray:
    """Return colours as int32, one byte per channel.

    Numbers become the colours of the palette, or grey levels.
    """
    if values.ndim == 2 and opened.palette is not None:
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[: len(opened.palette)] = opened.palette
        values = palette[values]
    if values.ndim == 2:
        grey = values.astype(np.int32) * opened.grey_step
        return grey << 16 | grey << 8 | grey
    red, green, blue = (values[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _class_numbers(
    opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray
) -> np.ndarray:
    """Return the number of the class of each pixel, uint8 (H, W)."""
    table = {
        red << 16 | green << 8 | blue: number
        for number, (red, green, blue) in enumerate(decoder.colors)
    }
    numbers, counts = np.zeros(values.shape[:2], dtype=np.uint8), Counter[int]()
    for rows in row_strips(values.shape[0], values.shape[1]):
        packed = _packed(opened, values[rows])
        present = count_values(packed)
        counts.update(present)
        numbers[rows] = map_values(packed, {color: table.get(color, 0) for color in present})
    counts = Counter(dict(sorted(counts.items())))
    unknown = [color for color in counts if color not in table]
    if unknown and decoder.nearest_color:
        packed = _packed(opened, values)
        numbers, strange = nearest_numbers(packed, decoder.colors, is_lossy=opened.is_lossy)
        unknown = list(count_values(packed[strange]))
    if unknown:
        color = max(unknown, key=counts.__getitem__)
        raise _unknown_color(color, unknown, counts, decoder, source)
    return numbers


def _unknown_color(
    color: int,
    unknown: Sequence[int],
    counts: Mapping[int, int],
    decoder: MaskDecoder,
    source: str,
) -> UnknownValuesError:
    """Return the error for the most frequent one of the unknown colours."""
    table = "the table of mask values" if decoder.is_table else "data.colors"
    seen = f"{source}: colour {_rgb(color)} on {counts[color]} pixels is not in {table}"
    if decoder.nearest_color:
        seen += ", nor near a mixture of two of them"
    values = [_rgb(one) for one in counts if not decoder.nearest_color or one in unknown]
    return UnknownValuesError(seen, values, decoder.advice(values))


def _rgb(color: int) -> tuple[int, int, int]:
    return color >> 16, color >> 8 & 255, color & 255

"""Masks as people have them, to class ids. Every mask of the project is opened by `open_mask_bytes`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.core.types import IGNORE_INDEX, Box
from ray_al.datasets.arrays import MAGIC, decode_npy, read_npy_header
from ray_al.datasets.nearest import nearest_numbers
from ray_al.datasets.pictures import Header, decoding, from_stream, open_picture, read_header
from ray_al.datasets.read import read_data

WHAT = "a mask"
ID_MODES = frozenset({"L", "P", "1", "I", "I;16", "I;16B", "I;16L"})
COLOR_MODES = frozenset({"RGB", "RGBX", "CMYK", "YCbCr"})
_CLEAR = "paint what is transparent in the colour (or with the id) of its class, and save the mask without transparency"


@dataclass(frozen=True, kw_only=True)
class MaskDecoder:
    """What the values of a mask mean.

    Attributes:
        num_classes: class ids are 0 to num_classes - 1.
        encoding: `ids`, or `colors` by the table `colors`.
        colors: a colour for each number of a class in the files.
        ignore_ids: numbers in the files that mean "no label", beside 255.
        id_map: number in the files -> class id, where they differ; a number that is missing in it is unknown.
        nearest_color: take the nearest colour of the table (lossy or smooth masks).
        checks_palette: whether the colours of an indexed picture must not contradict `colors`.
        whole: whether an unknown value outside the box that is read is refused too.
    """

    num_classes: int
    encoding: str = "ids"
    colors: tuple[tuple[int, int, int], ...] = ()
    ignore_ids: tuple[int, ...] = ()
    id_map: Mapping[int, int] | None = None
    nearest_color: bool = False
    checks_palette: bool = False
    whole: bool = False

    def class_of(self, number: int) -> int | None:
        """The class id of a number in a file, 255 for "no label", None where it is unknown."""
        if number == IGNORE_INDEX or number in self.ignore_ids:
            return IGNORE_INDEX
        if self.id_map is not None:
            return self.id_map.get(number)
        return number if 0 <= number < self.num_classes else None


@dataclass(frozen=True, kw_only=True)
class OpenMask:
    """A mask file as it lies there.

    Attributes:
        values: whole numbers (H, W), or colours uint8 (H, W, 3).
        grey_step: what one step of `values` (H, W) is in grey levels of 0 to 255, where a file keeps fewer than 8 bits.
        palette: of an indexed picture, the colours of its numbers, uint8 (N, 3).
        is_lossy: whether the values may differ from those that were saved.
        num_clear: pixels whose number the file calls transparent: their number is certain, their colour says nothing.
    """

    values: np.ndarray
    grey_step: int = 1
    palette: np.ndarray | None = None
    is_lossy: bool = False
    num_clear: int = 0

    @property
    def is_colored(self) -> bool:
        """Whether its three channels differ anywhere."""
        return self.values.ndim == 3 and bool((self.values != self.values[..., :1]).any())


@dataclass(frozen=True, kw_only=True)
class DecodedMask:
    """Class ids uint8 (H, W), 255 for no label, and the numbers in the file that became 255."""

    ids: np.ndarray
    void_numbers: frozenset[int]


def read_mask(uri: str, decoder: MaskDecoder, *, box: Box | None = None) -> np.ndarray:
    """Class ids of a mask, or of the part of it inside `box`; nothing outside is looked at, unless the decoder says so.

    Returns:
        uint8 (H, W), 255 where there is no label.

    Raises:
        DataError: missing, broken, or with an unknown id or colour: with file, value and number of pixels.
        ReadError: it could not be read just now, or memory did not suffice.
    """
    data = read_data(uri)
    return retried(uri, lambda: decode_mask(data, uri, decoder, box=box), (MemoryError,)).ids


def decode_mask(
    data: bytes, source: str, decoder: MaskDecoder, *, box: Box | None = None
) -> DecodedMask:
    """As `read_mask`, from the content of a file."""
    opened = open_mask_bytes(data, source)
    decode = _from_colors if decoder.encoding == "colors" else _from_ids
    if box is None:
        return decode(opened, decoder, source, opened.values)
    inside = (slice(box.top, box.bottom), slice(box.left, box.right))
    if not decoder.whole:
        return decode(opened, decoder, source, opened.values[inside])
    decoded = decode(opened, decoder, source, opened.values)
    return DecodedMask(ids=decoded.ids[inside], void_numbers=decoded.void_numbers)


def read_mask_size(uri: str) -> tuple[int, int]:
    """(height, width) of the mask as it is shown, from the header alone.

    Raises:
        DataError: there is no readable header.
        ReadError: it could not be read just now.
    """

    def size(stream: BinaryIO) -> tuple[int, int]:
        is_array = stream.read(len(MAGIC)) == MAGIC
        stream.seek(0)
        if is_array:
            shape, _, _ = read_npy_header(stream, uri)
            return shape[0], shape[1]
        header = read_header(stream, uri, WHAT)
        return header.height, header.width

    return from_stream(uri, size)


def open_mask_bytes(data: bytes, source: str) -> OpenMask:
    """Open a mask file, whatever it holds, turned as its orientation says.

    Raises:
        DataError: it is broken, or its values are no certain ids or colours: several pages, transparency, floating-point numbers.
    """
    if data.startswith(MAGIC):
        values = decode_npy(data, source)
        if values.ndim == 3 and values.dtype != np.uint8:
            raise DataError(f"{source}: colours of type {values.dtype}; save them as uint8")
        return OpenMask(values=values.view(np.uint8) if values.dtype.kind == "b" else values)
    header, image = open_picture(data, source, WHAT)
    _check(header, source)
    with decoding(source, WHAT):
        num_clear = _count_clear(image)
        if image.mode not in ID_MODES and num_clear:
            raise DataError(
                f"{source}: {num_clear} pixels are transparent, which says nothing about their class; {_CLEAR}"
            )
        image = image.getchannel(0) if image.mode == "LA" else image
        if image.mode not in ID_MODES:
            return OpenMask(values=np.array(image.convert("RGB")), is_lossy=header.is_lossy)
        values, step = _numbers(image, header)
        return OpenMask(
            values=values,
            grey_step=step,
            palette=_palette(image),
            is_lossy=header.is_lossy,
            num_clear=num_clear,
        )


def _check(header: Header, source: str) -> None:
    if header.has_pages:
        raise DataError(
            f"{source}: holds several pages or frames; save the mask as one picture of class ids"
        )
    if header.is_float or header.mode == "F":
        raise DataError(
            f"{source}: holds floating-point or signed numbers; save the class ids as whole numbers of 8 bits"
        )
    if header.is_negative and header.bits > 1:
        raise DataError(
            f"{source}: a TIFF in which 0 is white, so that its ids read as 255 and below; save it with 0 as black, or as PNG"
        )
    if header.channels > 1 and header.bits > 8:
        raise DataError(
            f"{source}: holds {header.channels} channels of {header.bits} bits; save class ids in one channel, or colours of 8 bits"
        )
    if not header.known_channels or header.mode not in ID_MODES | COLOR_MODES | {
        "LA",
        "PA",
        "RGBA",
    }:
        raise DataError(
            f"{source}: holds {header.channels} channels (mode {header.mode}); save class ids in one channel, or colours in three"
        )


def _count_clear(image: Image.Image) -> int:
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return 0
    return sum(image.convert("RGBA").getchannel("A").histogram()[:255])


def _numbers(image: Image.Image, header: Header) -> tuple[np.ndarray, int]:
    """The numbers as the file keeps them: Pillow stretches greyscale of 2 and 4 bits to 0 to 255. And the grey levels of one step."""
    values = np.array(image)
    if image.mode == "1":
        return values.astype(np.uint8), 255
    step = 255 // (2**header.bits - 1) if image.mode == "L" and header.bits < 8 else 1
    return (values // step).astype(values.dtype) if step > 1 else values, step


def _palette(image: Image.Image) -> np.ndarray | None:
    colors = image.getpalette("RGB") if image.mode == "P" else None
    return None if colors is None else np.array(colors, dtype=np.uint8).reshape(-1, 3)


def _count(values: np.ndarray) -> dict[int, int]:
    """How often each whole number occurs, ascending."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        present = np.flatnonzero(counts)
        return dict(zip(present.tolist(), counts[present].tolist(), strict=True))
    present, counts = np.unique(values, return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def _look_up(values: np.ndarray, numbers: list[int], ids: list[int]) -> np.ndarray:
    if values.dtype == np.uint8:
        table = np.zeros(256, dtype=np.uint8)
        table[numbers] = ids
        return table[values]
    return np.array(ids, dtype=np.uint8)[
        np.searchsorted(np.array(numbers, dtype=values.dtype), values)
    ]


def _from_ids(
    opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray
) -> DecodedMask:
    if opened.is_lossy:
        raise DataError(
            f"{source}: a mask in lossy JPEG (or WebP) has wrong ids at borders; export it as PNG, or, if it is painted in the colours of classes, "
            "set data.mask_encoding=colors, data.colors and data.nearest_color=true"
        )
    if opened.is_colored:
        if int(values.max()) <= 1:
            raise DataError(
                f"{source}: holds a flag for each class in a channel; save class ids in one channel, as .argmax(-1) gives them"
            )
        raise DataError(
            f"{source}: a colour mask, ids were expected; set data.mask_encoding=colors and data.colors"
        )
    values = values[..., 0] if values.ndim == 3 else values
    counts = _count(values)
    ids = {number: decoder.class_of(number) for number in counts}
    unknown = [number for number, class_id in ids.items() if class_id is None]
    if unknown:
        raise DataError(_unknown_id(unknown, counts, decoder, source))
    if decoder.checks_palette and opened.palette is not None:
        _check_palette(opened.palette, list(counts), decoder, source)
    numbers = list(counts)
    known = [int(ids[number]) for number in numbers]  # type: ignore[arg-type]
    void = frozenset(
        number for number, class_id in zip(numbers, known, strict=True) if class_id == IGNORE_INDEX
    )
    return DecodedMask(ids=_look_up(values, numbers, known), void_numbers=void)


def _unknown_id(
    unknown: list[int], counts: dict[int, int], decoder: MaskDecoder, source: str
) -> str:
    listed = ", ".join(map(str, list(counts)[:12])) + (", ..." if len(counts) > 12 else "")
    known = (
        f"0 to {decoder.num_classes - 1}"
        if decoder.id_map is None
        else "a class of the data set's table"
    )
    return (
        f"{source}: id {unknown[0]} on {counts[unknown[0]]} pixels is no class ({known}) and not ignored; the ids here are {listed}. Where they are "
        "grey levels of classes, set data.mask_encoding=colors and data.colors to these levels, e.g. [[0,0,0],[128,128,128]]; where all masks, also "
        "those of the other splits, count from 1, put a name for 0 in front of data.class_names and 0 into data.ignore_ids; add an id to "
        "data.ignore_ids only if it means 'no label'"
    )


def _check_palette(
    palette: np.ndarray, numbers: list[int], decoder: MaskDecoder, source: str
) -> None:
    """Refuse an indexed picture that is painted in the colours of classes, but numbers them in another order."""
    table = {color: number for number, color in enumerate(decoder.colors)}
    painted = {
        number: table.get(tuple(palette[number].tolist()))
        for number in numbers
        if number < len(palette) and number != IGNORE_INDEX
    }
    if (
        painted
        and None not in painted.values()
        and any(number != other for number, other in painted.items())
    ):
        number = next(number for number, other in painted.items() if number != other)
        raise DataError(
            f"{source}: its number {number} has the colour {tuple(palette[number].tolist())}, which data.colors gives to class number "
            f"{painted[number]}; the palette is in another order: set data.mask_encoding=colors"
        )


def _from_colors(
    opened: OpenMask, decoder: MaskDecoder, source: str, values: np.ndarray
) -> DecodedMask:
    if opened.is_lossy and not decoder.nearest_color:
        raise DataError(
            f"{source}: a mask in lossy JPEG (or WebP) has wrong colours at borders; export it as PNG, or set data.nearest_color=true"
        )
    if opened.num_clear:
        raise DataError(
            f"{source}: {opened.num_clear} pixels are transparent, which says nothing about their class; {_CLEAR}"
        )
    if values.ndim == 2 and values.size and not 0 <= int(values.min()) <= int(values.max()) <= 255:
        raise DataError(
            f"{source}: numbers from {values.min()} to {values.max()}, colours of 8 bits were expected; set data.mask_encoding=ids"
        )
    packed = _packed(opened, values)
    table = {
        red << 16 | green << 8 | blue: number
        for number, (red, green, blue) in enumerate(decoder.colors)
    }
    counts = _count(packed)
    unknown = [color for color in counts if color not in table]
    if unknown and decoder.nearest_color:
        numbers, strange = nearest_numbers(packed, decoder.colors, is_lossy=opened.is_lossy)
        unknown = list(_count(packed[strange]))
    elif not unknown:
        numbers = _look_up(packed, list(counts), [table[color] for color in counts])
    if unknown:
        raise DataError(
            _unknown_color(max(unknown, key=counts.__getitem__), counts, decoder, source)
        )
    present = np.unique(numbers).tolist()
    ids = [decoder.class_of(number) for number in present]
    void = frozenset(
        number for number, class_id in zip(present, ids, strict=True) if class_id == IGNORE_INDEX
    )
    return DecodedMask(ids=_look_up(numbers, present, ids), void_numbers=void)  # type: ignore[arg-type]


def _packed(opened: OpenMask, values: np.ndarray) -> np.ndarray:
    """Colours as int32, a byte a channel; numbers become the colours of the palette, or grey levels."""
    if values.ndim == 2 and opened.palette is not None:
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[: len(opened.palette)] = opened.palette
        values = palette[values]
    if values.ndim == 2:
        grey = values.astype(np.int32) * opened.grey_step
        return grey << 16 | grey << 8 | grey
    red, green, blue = (values[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _unknown_color(color: int, counts: dict[int, int], decoder: MaskDecoder, source: str) -> str:
    rgb = (color >> 16, color >> 8 & 255, color & 255)
    seen = f"{source}: colour {rgb} on {counts[color]} pixels is not in data.colors"
    remedy = (
        "if it is a class, add it; if it means 'no label', add it under a name of its own, e.g. void, and put the number of that name "
        "into data.ignore_ids"
    )
    if decoder.nearest_color:
        return f"{seen}, nor near a mixture of two of them; {remedy}"
    return f"{seen}; {remedy}; if the mask has smooth borders between the colours of classes, set data.nearest_color=true"

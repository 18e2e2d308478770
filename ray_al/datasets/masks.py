"""Masks as people have them, to class ids. Every mask of the project is opened by `read_mask`."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.core.types import IGNORE_INDEX, Box
from ray_al.datasets.read import read_data

ID_MODES = frozenset({"L", "P", "1", "I", "I;16", "I;16B", "I;16L"})


@dataclass(frozen=True, kw_only=True)
class MaskDecoder:
    """What the values of a mask mean.

    Attributes:
        num_classes: class ids are 0 to num_classes - 1.
        encoding: `ids`, or `colors` by the table `colors`.
        ignore_ids: ids that mean "no label", beside 255.
        id_map: id in the file -> class id, where they differ; an id that is missing in it is unknown.
        nearest_color: take the nearest colour of the table (lossy masks).
    """

    num_classes: int
    encoding: str = "ids"
    colors: tuple[tuple[int, int, int], ...] = ()
    ignore_ids: tuple[int, ...] = ()
    id_map: Mapping[int, int] | None = None
    nearest_color: bool = False


def read_mask(uri: str, decoder: MaskDecoder, *, box: Box | None = None) -> np.ndarray:
    """Class ids of a mask, or of the part of it inside `box`; nothing outside is looked at.

    Returns:
        uint8 (H, W), 255 where there is no label.

    Raises:
        DataError: missing, broken, or with an unknown id or colour: with file, value and number of pixels.
        ReadError: it could not be read just now, or memory did not suffice.
    """
    data = read_data(uri)
    values = retried(uri, lambda: _open(data, uri, decoder), (MemoryError,))
    if box is not None:
        values = values[box.top : box.bottom, box.left : box.right]
    if decoder.encoding == "colors":
        return _from_colors(values, decoder, uri)
    if values.ndim != 2:
        raise DataError(f"{uri}: a colour mask, ids were expected; set data.mask_encoding=colors and data.colors")
    return _from_ids(values, decoder, uri)


def read_mask_size(uri: str) -> tuple[int, int]:
    """(height, width) from the header.

    Raises:
        DataError: there is no readable header.
        ReadError: it could not be read just now.
    """
    data = read_data(uri)
    try:
        if uri.lower().endswith(".npy"):
            return tuple(np.load(io.BytesIO(data), mmap_mode=None).shape[:2])  # type: ignore[return-value]
        with Image.open(io.BytesIO(data)) as image:
            return image.size[1], image.size[0]
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"{uri}: cannot be read as a mask ({error}); replace the file") from None


def _open(data: bytes, uri: str, decoder: MaskDecoder) -> np.ndarray:
    try:
        if uri.lower().endswith(".npy"):
            return np.load(io.BytesIO(data), allow_pickle=False)
        image = Image.open(io.BytesIO(data))
        if image.format == "JPEG" and not decoder.nearest_color:
            raise DataError(f"{uri}: a mask in lossy JPEG has wrong values at borders; export PNG, or set data.nearest_color=true")
        if decoder.encoding == "colors":
            return np.array(image.convert("RGB"))
        return np.array(image) if image.mode in ID_MODES else np.array(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise DataError(f"{uri}: cannot be read as a mask ({error}); replace the file") from None


def _from_ids(values: np.ndarray, decoder: MaskDecoder, uri: str) -> np.ndarray:
    if values.dtype.kind not in "biu":
        raise DataError(f"{uri}: values of type {values.dtype}; save whole numbers")
    present, inverse = np.unique(values, return_inverse=True)
    table = np.zeros(len(present), dtype=np.uint8)
    for position, value in enumerate(map(int, present)):
        table[position] = _class_of(value, decoder, uri, int((values == value).sum()))
    return table[inverse].reshape(values.shape)


def _class_of(value: int, decoder: MaskDecoder, uri: str, num_pixels: int) -> int:
    if value == IGNORE_INDEX or value in decoder.ignore_ids:
        return IGNORE_INDEX
    if decoder.id_map is not None:
        if value in decoder.id_map:
            return decoder.id_map[value]
    elif 0 <= value < decoder.num_classes:
        return value
    raise DataError(
        f"{uri}: id {value} on {num_pixels} pixels is no class (0 to {decoder.num_classes - 1}) and not ignored; "
        "add the class to data.class_names or the id to data.ignore_ids"
    )


def _from_colors(values: np.ndarray, decoder: MaskDecoder, uri: str) -> np.ndarray:
    if values.ndim != 3:
        raise DataError(f"{uri}: ids, colours were expected; set data.mask_encoding=ids")
    packed = values[..., 0].astype(np.int64) << 16 | values[..., 1].astype(np.int64) << 8 | values[..., 2]
    present, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    known = {red << 16 | green << 8 | blue: index for index, (red, green, blue) in enumerate(decoder.colors)}
    table = np.zeros(len(present), dtype=np.uint8)
    for position, value in enumerate(map(int, present)):
        color = (value >> 16, value >> 8 & 255, value & 255)
        if value in known:
            table[position] = known[value]
        elif decoder.nearest_color:
            table[position] = int(((np.array(decoder.colors) - color) ** 2).sum(1).argmin())
        else:
            raise DataError(f"{uri}: colour {color} on {counts[position]} pixels is not in data.colors; add it, or set data.nearest_color=true")
    ids = table[inverse].reshape(packed.shape)
    for index in decoder.ignore_ids:
        ids[ids == index] = IGNORE_INDEX
    return ids

"""Readers of the files with which people answer.

An ambiguous file is refused, and the reason says what to do.
"""

import io
import json
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets import png
from ray_al.datasets.orientation import ORIENTATION, TURNS

MAX_JSON = 1 << 20
"""Largest size of a list of classes in bytes; a list of 255 names is far shorter."""
SAVE_IDS = (
    "save class ids as an 8-bit greyscale PNG, "
    "or an indexed or RGB PNG in exactly the classes' colours"
)
SAVE_GREY = "save class ids as an 8-bit greyscale PNG"
BLACK_AND_WHITE = (
    "only 0 and 255, as a black-and-white mask has: 255 means that nothing can be said, "
    "so the white part would be lost. Write the class's id in its place; "
    "if 0 and 255 are meant, save an indexed PNG with the classes' colours"
)


def read_classes(data: bytes, class_names: Sequence[str]) -> tuple[int, ...]:
    """Return the ids of the classes that a file lists by name or id, ascending, each once.

    Args:
        data: content of the file, JSON.
        class_names: names of the classes by id.

    Raises:
        DataError: the file is not a list of classes; the message does not name the file.
    """
    remedy = "write a list of class names or ids, [] for nothing"
    if len(data) > MAX_JSON:
        raise DataError(f"{len(data)} bytes; {remedy}")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({_short(error)}); {remedy}") from None
    if not isinstance(values, list):
        raise DataError(f"a {type(values).__name__}; {remedy}")
    return tuple(sorted({_class_id(value, class_names) for value in values}))


def _class_id(value: object, class_names: Sequence[str]) -> int:
    """Return the id of a class that is given by its id or its name.

    A name matches even if its accents are encoded in another way than in the configuration.
    """
    if isinstance(value, str):
        if value in class_names:
            return class_names.index(value)
        normal = _normal(value)
        same = [i for i, name in enumerate(class_names) if _normal(name) == normal]
        if len(same) == 1:
            return same[0]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(class_names):
        raise DataError(
            f"class {_short(repr(value))} is not known; ids are 0 to {len(class_names) - 1}, "
            f"names: {_short(', '.join(class_names))}"
        )
    return value


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def read_mask(data: bytes, place: Place, classes: Classes) -> np.ndarray:
    """Return class ids of the region's box, uint8 (h, w), 255 for unknown.

    Args:
        data: content of the file, a PNG of the region's box or of the whole picture.
        place: place of the region.
        classes: names and colours of the classes.

    Raises:
        DataError: the file is damaged or ambiguous; the message does not name the file.
    """
    header = _check_file(data)
    # Check the size before anything is decompressed, however large the file claims to be.
    window = _window(header, place)
    png.check_png_pixels(data)
    image = _open(data)
    if header.color_type in (png.RGB, png.RGB_ALPHA):
        return _from_colors(np.asarray(image.convert("RGBA"))[window], classes)
    values = np.asarray(image)
    inside = values[window]
    _check_opaque(image, inside)
    if header.color_type == png.INDEXED:
        return _from_palette(inside, image.getpalette() or [], classes)
    within = inside if place.region is None else inside[place.region]
    if (within == IGNORE_INDEX).any() and set(np.unique(values).tolist()) == {0, IGNORE_INDEX}:
        raise DataError(BLACK_AND_WHITE)
    return _check_ids(inside, len(classes.names))


def _check_file(data: bytes) -> png.PngHeader:
    """Return the header of an undamaged PNG of 8-bit ids or colours; refuse other files."""
    if not png.is_png(data):
        raise DataError(f"{_found(data)}; {SAVE_IDS}")
    header = png.check_png(data)
    if header.color_type == png.GREYSCALE_ALPHA:
        raise DataError(f"mode LA (grey with transparency); {SAVE_IDS}")
    if header.color_type in (png.RGB, png.RGB_ALPHA) and header.bits != 8:
        raise DataError(f"colours of {header.bits} bits; {SAVE_IDS}")
    if header.color_type == png.GREYSCALE and header.bits != 8:
        raise DataError(
            f"{header.bits}-bit greyscale, in which ids and shades of grey cannot be told apart; "
            f"{SAVE_IDS}"
        )
    return header


def _found(data: bytes) -> str:
    """Return what a file is that is not a PNG, for the message."""
    if not data:
        return "an empty file"
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = image.format
    # A decoder may raise anything for a damaged file; here it only helps to describe the file.
    except Exception:
        return "not a readable image"
    lossy = (
        ", whose pixel values are not those that were drawn"
        if kind in ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")
        else ""
    )
    return f"a {kind} file{lossy}"


def _window(header: png.PngHeader, place: Place) -> tuple[slice, slice]:
    """Return the rows and columns of the file that show the region's box."""
    box, context = place.box, place.context
    if (header.height, header.width) == (context.height, context.width):
        top, left = box.top - context.top, box.left - context.left
        return slice(top, top + box.height), slice(left, left + box.width)
    if (header.height, header.width) == (box.height, box.width):
        return slice(None), slice(None)
    expected = (
        f"{box.height}x{box.width} (the region) or {context.height}x{context.width} (the picture)"
    )
    raise DataError(
        f"{header.height}x{header.width} pixels, expected {expected}; export it at that size"
    )


def _open(data: bytes) -> Image.Image:
    """Return the decoded picture; refuse several pictures in one file, and turned ones."""
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
        orientation = image.getexif().get(ORIENTATION)
        frames = getattr(image, "n_frames", 1)
    except Exception as error:  # a decoder may raise anything for a damaged file
        raise DataError(f"not a readable image ({_short(error)}); save it again as PNG") from None
    if frames > 1:
        raise DataError(f"{frames} pictures in one file; save the mask alone")
    if orientation in TURNS:
        raise DataError(
            f"an orientation tag ({orientation}) that turns the picture; "
            "save it as it is seen, without the tag"
        )
    return image


def _check_opaque(image: Image.Image, values: np.ndarray) -> None:
    """Refuse pixels that are transparent to any degree."""
    # Pillow gives an opacity for each index, or the one value that is transparent.
    alpha = image.info.get("transparency", b"")
    transparent = (
        [alpha]
        if isinstance(alpha, int)
        else [index for index, opacity in enumerate(alpha) if opacity != 255]
    )
    num_pixels = int(np.isin(values, transparent).sum())
    if num_pixels:
        raise _transparent(num_pixels)


def _from_palette(values: np.ndarray, palette: Sequence[int], classes: Classes) -> np.ndarray:
    """Return the class ids of an indexed image.

    They follow from the colours. If the palette is the classes' own or a ramp of greys, they also
    follow from the indexes, and an image for which the two differ is refused. Index 255 with a
    colour of no class means unknown, as in greyscale masks.

    Args:
        values: indexes, uint8 (h, w).
        palette: red, green and blue of each index, flat.
        classes: names and colours of the classes.
    """
    colors = [tuple(palette[i : i + 3]) for i in range(0, len(palette) - 2, 3)]
    present, inverse = np.unique(values, return_inverse=True)
    used = [int(value) for value in present]
    if used[-1] >= len(colors):
        raise DataError(
            f"index {used[-1]} of a palette of {len(colors)} colours; save it again, {SAVE_IDS}"
        )
    is_ramp = len(colors) > 1 and all(color == (i, i, i) for i, color in enumerate(colors))
    is_own = [tuple(color) for color in classes.colors] == colors[: len(classes.colors)]
    are_ids = all(value < len(classes.names) or value == IGNORE_INDEX for value in used)
    by_index = used if (is_ramp or is_own) and are_ids else None
    num_pixels = np.bincount(inverse.ravel()).tolist()
    try:
        by_color = [
            _class_of(value, colors[value], classes, num)
            for value, num in zip(used, num_pixels, strict=True)
        ]
    except DataError:
        if by_index is None:
            raise
        by_color = by_index
    if by_index is not None and by_index != by_color:
        raise DataError(
            f"the palette's greys are colours of classes, but not those of the ids; {SAVE_IDS}"
        )
    if is_ramp and used == [0, IGNORE_INDEX]:
        raise DataError(BLACK_AND_WHITE)
    return np.array(by_color, dtype=np.uint8)[inverse].reshape(values.shape)


def _from_colors(values: np.ndarray, classes: Classes) -> np.ndarray:
    """Return the class ids of an image in the colours of the classes, each of them exact.

    Greys that could also be ids are refused if ids and colours give different classes.

    Args:
        values: red, green, blue and opacity, uint8 (h, w, 4).
        classes: names and colours of the classes.
    """
    num_clear = int((values[..., 3] != 255).sum())
    if num_clear:
        raise _transparent(num_clear)
    present, inverse = np.unique(values[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    colors = [(int(red), int(green), int(blue)) for red, green, blue in present]
    num_pixels = np.bincount(inverse.ravel()).tolist()
    greys = [color[0] for color in colors if len(set(color)) == 1]
    are_ids = len(greys) == len(colors) and all(grey < len(classes.names) for grey in greys)
    by_color = [
        _class_of(None, color, classes, num) for color, num in zip(colors, num_pixels, strict=True)
    ]
    if are_ids and greys != by_color:
        raise DataError(f"its greys are colours of classes, but not those of the ids; {SAVE_GREY}")
    return np.array(by_color, dtype=np.uint8)[inverse].reshape(values.shape[:2])


def _transparent(num_pixels: int) -> DataError:
    return DataError(f"{num_pixels} transparent pixels, which say nothing of a class; {SAVE_IDS}")


def _class_of(index: int | None, color: tuple[int, ...], classes: Classes, num_pixels: int) -> int:
    """Return the class of a colour, which `num_pixels` pixels have.

    Args:
        index: its index in a palette; None if it is in none.
        color: red, green and blue.
        classes: names and colours of the classes.
        num_pixels: for messages.
    """
    seen = f"mode RGB, whose colour {color}" if index is None else f"the palette's colour {color}"
    found = [number for number, known in enumerate(classes.colors) if tuple(known) == color]
    if len(found) > 1:
        names = ", ".join(classes.names[number] for number in found)
        raise DataError(
            f"{seen} on {num_pixels} pixels is that of several classes "
            f"({_short(names)}); save ids as 8-bit greyscale"
        )
    if found:
        return found[0]
    if index == IGNORE_INDEX:
        return IGNORE_INDEX
    raise DataError(
        f"{seen} on {num_pixels} pixels belongs to no class; "
        "use the colours in tasks.json, or save ids as 8-bit greyscale"
    )


def _check_ids(mask: np.ndarray, num_classes: int) -> np.ndarray:
    unknown = mask[(mask >= num_classes) & (mask != IGNORE_INDEX)]
    if unknown.size:
        raise DataError(
            f"id {int(unknown[0])} on {unknown.size} pixels; "
            f"ids are 0 to {num_classes - 1}, or {IGNORE_INDEX} for nothing"
        )
    return mask


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"

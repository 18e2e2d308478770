"""Draw the masks of images that were annotated with labelme.

Pixels are those that labelme itself fills: it draws with Pillow, too.
"""

import base64
import binascii
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ray_al.core.errors import DataError
from ray_al.core.families.layouts import MaskSource
from ray_al.datasets.pictures import MAX_PIXELS
from ray_al.datasets.read import read_data

Point = tuple[float, float]
Size = tuple[int, int]
"""Height and width in pixels."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class LabelmeMasks(MaskSource):
    """The masks that files of labelme describe, one file for each image.

    Attributes:
        numbers: label -> class number; 255 for "no label".
        background: class number of pixels without a shape; 255 for "no label".
    """

    numbers: Mapping[str, int]
    background: int

    def size(self, uri: str) -> Size:
        """Return the size that the file gives; see `MaskSource.size`."""
        return _size(_parse(uri), uri)

    def read(self, uri: str) -> np.ndarray:
        """Draw a mask, each shape over those before it; see `MaskSource.read`."""
        values = _parse(uri)
        size = _size(values, uri)
        mask = np.full(size, self.background, dtype=np.uint8)
        shapes = values.get("shapes")
        if not isinstance(shapes, list):
            raise _unusable(uri, "has no list called 'shapes'")
        for number, shape in enumerate(shapes):
            if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
                raise _unusable(uri, f"shapes[{number}] has no label")
            label = shape["label"]
            if label not in self.numbers:
                raise DataError(
                    f"{uri}: its label {label!r} is none of the classes; add it to "
                    "data.class_names (with `ray-al extend --add-class` if a run has begun), or "
                    f"say what it is, e.g. data.dataset.labels={{{label}: ignore}} for no label"
                )
            mask[_pixels(shape, size, uri, f"shapes[{number}] ({label})")] = self.numbers[label]
        return mask


def _unusable(uri: str, words: str) -> DataError:
    return DataError(f"{uri}: {words}; correct it in labelme and save it again")


def _parse(uri: str) -> Mapping[str, Any]:
    try:
        values = json.loads(read_data(uri))
    except (ValueError, RecursionError) as error:
        raise _unusable(uri, f"is not JSON ({str(error)[:120]})") from None
    if not isinstance(values, dict):
        raise _unusable(uri, "does not hold an object with shapes, imageHeight and imageWidth")
    return values


def _size(values: Mapping[str, Any], uri: str) -> Size:
    height, width = values.get("imageHeight"), values.get("imageWidth")
    if not (type(height) is int and type(width) is int and height > 0 and width > 0):
        raise _unusable(uri, f"imageHeight {height!r} and imageWidth {width!r} are no size")
    if height * width > MAX_PIXELS:
        raise _unusable(uri, f"{height}x{width} pixels are more than the limit of {MAX_PIXELS}")
    return height, width


def _pixels(shape: Mapping[str, Any], size: Size, uri: str, what: str) -> np.ndarray:
    """Return the pixels of a shape, bool (H, W)."""
    kind = shape.get("shape_type") or "polygon"
    points = _points(shape.get("points"), size)
    if points is None:
        raise _unusable(uri, f"{what} has points that cannot be pixels of {size[0]}x{size[1]}")
    if kind == "mask":
        return _brush(shape.get("mask"), points, size, uri, what)
    draw = SHAPES.get(kind) if isinstance(kind, str) else None
    if draw is None:
        raise _unusable(
            uri, f"{what} is of the kind {kind!r}, which covers no area; draw a polygon instead"
        )
    canvas = Image.new("1", (size[1], size[0]))
    if not draw(ImageDraw.Draw(canvas), points):
        raise _unusable(uri, f"{what} has {len(points)} points, which are no {kind}")
    return np.asarray(canvas)


def _points(values: object, size: Size) -> list[Point] | None:
    """Return points (x, y) of an image of `size` (height, width).

    None if they are not numbers, or far outside of the image, or all of them beside it.
    """
    if not isinstance(values, list) or not values:
        return None
    longest = max(size)
    points: list[Point] = []
    for value in values:
        if not isinstance(value, list) or len(value) != 2:
            return None
        x, y = value
        for number in (x, y):
            if isinstance(number, bool) or not isinstance(number, int | float):
                return None
            if not -longest <= number <= 2 * longest:  # refuses nan as well
                return None
        points.append((float(x), float(y)))
    xs, ys = zip(*points, strict=True)
    is_beside = max(xs) < 0 or max(ys) < 0 or min(xs) > size[1] or min(ys) > size[0]
    return None if is_beside else points


def _polygon(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> bool:
    if len(points) < 3:
        return False
    canvas.polygon(list(points), fill=1, outline=1)
    return True


def _rectangle(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> bool:
    if len(points) != 2:
        return False
    (x1, y1), (x2, y2) = points
    canvas.rectangle([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)], fill=1, outline=1)
    return True


def _circle(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> bool:
    if len(points) != 2:
        return False
    (x, y), edge = points
    radius = math.dist(points[0], edge)
    canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)
    return True


SHAPES: Mapping[str, Callable[[ImageDraw.ImageDraw, Sequence[Point]], bool]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
}
"""What draws each kind of shape; it returns False for a wrong number of points."""


def _brush(text: object, points: Sequence[Point], size: Size, uri: str, what: str) -> np.ndarray:
    """Return the pixels of a shape that holds a picture of its own: a PNG in base64."""
    wrong = _unusable(uri, f"{what} holds no usable picture of its pixels")
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (ValueError, binascii.Error):
        raise wrong from None
    left, top = (round(value) for value in points[0])
    right, bottom = (round(value) for value in points[-1])
    shape = (bottom - top + 1, right - left + 1)
    if not data.startswith(PNG) or left < 0 or top < 0 or right >= size[1] or bottom >= size[0]:
        raise wrong
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if (picture.height, picture.width) != shape:
                raise wrong
            inside = np.asarray(picture.convert("L")) > 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise wrong from None
    pixels = np.zeros(size, dtype=bool)
    pixels[top : bottom + 1, left : right + 1] = inside
    return pixels

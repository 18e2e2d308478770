"""Read annotation files in COCO's format and keep of them what masks need.

The format: https://cocodataset.org/#format-data. Outlines become arrays while the text is parsed,
so an export of 100,000 annotations needs little more memory than its text.
"""

import functools
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.datasets.pictures import MAX_PIXELS
from ray_al.datasets.read import read_data

Id = int | str
"""COCO's id of an image or a category."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """A run-length encoding: lengths in column order, of pixels outside and inside by turns.

    Attributes:
        height, width: size of the image in pixels.
        counts: the lengths, int64; or COCO's compressed text.
    """

    height: int
    width: int
    counts: np.ndarray | bytes


Outline = tuple[np.ndarray, ...] | Runs | str
"""Polygons, float64 (2 * points,), as x and y by turns; or runs; or why there is neither."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One annotated object.

    Attributes:
        name: its id, for messages.
        image_id: the image that it belongs to.
        category_id: its category.
        is_crowd: whether it outlines a crowd, whose objects are not told apart.
        outline: its pixels.
    """

    name: str
    image_id: Id
    category_id: Id
    is_crowd: bool
    outline: Outline


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """An image as an annotation file lists it.

    Attributes:
        key: its id and the last part of its path, so that an export with other ids is noticed.
        file_name: its path, with forward slashes.
        height, width: in pixels.
        annotations: in the order of the file.
    """

    key: str
    file_name: str
    height: int
    width: int
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """An annotation file.

    Attributes:
        uri: its place.
        categories: name of each category by its id, in the order of the ids.
        images: images by their keys, in the order of the file.
        num_stray: number of annotations of images that the file does not list.
    """

    uri: str
    categories: Mapping[Id, str]
    images: Mapping[str, CocoImage]
    num_stray: int


@functools.lru_cache(maxsize=4)
def read_coco(uri: str, stamp: str) -> CocoFile:
    """Read an annotation file, once in each process.

    Args:
        uri: a path or URI.
        stamp: what `stamp_of_uri` says of the file, so a changed file is read again.

    Raises:
        DataError: there is no such file.
        ConfigError: it is not in COCO's format; the message names the entry.
        ReadError: it could not be read just now.
    """
    values = _parse(read_data(uri), uri)
    categories = _categories(values, uri)
    by_image: dict[Id, list[Annotation]] = {}
    for place, one in enumerate(_list(values, "annotations", uri)):
        if not isinstance(one, Annotation):
            raise _malformed(uri, f"annotations[{place}] has no image_id or no category_id")
        by_image.setdefault(one.image_id, []).append(one)
    images: dict[str, CocoImage] = {}
    seen: set[Id] = set()
    for place, row in enumerate(_list(values, "images", uri)):
        image, image_id = _image(row, f"images[{place}]", uri)
        if image_id in seen:
            raise _malformed(uri, f"images[{place}] repeats the id {image_id}")
        seen.add(image_id)
        found = tuple(by_image.pop(image_id, ()))
        images[image.key] = replace(image, annotations=found)
    return CocoFile(
        uri=uri,
        categories=categories,
        images=images,
        num_stray=sum(map(len, by_image.values())),
    )


def _malformed(uri: str, words: str) -> ConfigError:
    return ConfigError(f"{uri}: {words}; export the annotations again, in COCO's format")


def _parse(data: bytes, uri: str) -> Mapping[str, Any]:
    try:
        values = json.loads(data, object_hook=_compact)
    except (ValueError, RecursionError) as error:
        words = f"is not JSON ({str(error)[:120]})" if data else "is empty"
        raise _malformed(uri, words) from None
    if not isinstance(values, dict):
        raise _malformed(uri, "does not hold an object with images, annotations and categories")
    return values


def _compact(values: dict[str, Any]) -> object:
    """Return an annotation as a value of few bytes; any other object as it is."""
    image_id, category_id = values.get("image_id"), values.get("category_id")
    if not (_is_id(image_id) and _is_id(category_id)):
        return values
    return Annotation(
        name=str(values.get("id")),
        image_id=image_id,
        category_id=category_id,
        is_crowd=values.get("iscrowd") in (1, True),
        outline=_outline(values.get("segmentation")),
    )


def _is_id(value: object) -> TypeGuard[Id]:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _outline(value: Any) -> Outline:
    """Return the polygons or runs of an annotation, or why there are none."""
    if isinstance(value, dict):
        return _runs(value)
    if not isinstance(value, list) or not value:
        return "it has no outline (a box alone says nothing about pixels)"
    if not all(isinstance(polygon, list) for polygon in value):
        return "its segmentation is no list of polygons"
    try:
        polygons = tuple(np.array(polygon, dtype=np.float64) for polygon in value)
    except (TypeError, ValueError, OverflowError):
        return "a polygon holds something that is no number"
    for polygon in polygons:
        if polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2:
            return f"a polygon of {polygon.size} numbers, not of three or more pairs x, y"
        if not np.isfinite(polygon).all():
            return "a polygon holds a number that is not finite"
    return polygons


def _runs(value: Mapping[str, Any]) -> Outline:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(map(_is_side, size))):
        return "its runs have no size [height, width]"
    if isinstance(counts, str) and counts.isascii():
        return Runs(height=size[0], width=size[1], counts=counts.encode())
    most = size[0] * size[1]
    if isinstance(counts, list) and all(type(one) is int and 0 <= one <= most for one in counts):
        return Runs(height=size[0], width=size[1], counts=np.array(counts, dtype=np.int64))
    return "its runs have no usable counts"


def _is_side(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 1 << 16


def _list(values: Mapping[str, Any], name: str, uri: str) -> Sequence[Any]:
    found = values.get(name)
    if not isinstance(found, list):
        raise _malformed(uri, f"has no list called {name!r}")
    return found


def _categories(values: Mapping[str, Any], uri: str) -> Mapping[Id, str]:
    categories: dict[Id, str] = {}
    for place, row in enumerate(_list(values, "categories", uri)):
        number = row.get("id") if isinstance(row, dict) else None
        name = row.get("name") if isinstance(row, dict) else None
        if number is None or not _is_id(number) or not isinstance(name, str) or not name.strip():
            raise _malformed(uri, f"categories[{place}] has no id or no name")
        if number in categories:
            raise _malformed(uri, f"categories[{place}] repeats the id {number}")
        categories[number] = name.strip()
    by_id = sorted(categories, key=lambda one: (isinstance(one, str), one))
    return {number: categories[number] for number in by_id}


def _image(row: Any, place: str, uri: str) -> tuple[CocoImage, Id]:
    """Return an entry of `images`, as yet without its annotations, and its id."""
    values = row if isinstance(row, dict) else {}
    image_id, file_name = values.get("id"), values.get("file_name")
    if image_id is None or not _is_id(image_id) or not isinstance(file_name, str) or not file_name:
        raise _malformed(uri, f"{place} has no id or no file_name")
    height, width = values.get("height"), values.get("width")
    if not (_is_side(height) and _is_side(width) and height * width <= MAX_PIXELS):
        raise _malformed(
            uri,
            f"{place} ({file_name}) has height {height!r} and width {width!r}, no size in pixels",
        )
    file_name = file_name.replace("\\", "/").removeprefix("./")
    image = CocoImage(
        key=f"{image_id}:{posixpath.basename(file_name)}",
        file_name=file_name,
        height=height,
        width=width,
        annotations=(),
    )
    return image, image_id

"""Draw the masks of images whose objects are annotated in COCO's format.

Only the mask that is asked for is drawn. The `coco` extra (pycocotools) decides which pixels a
polygon covers, as for everybody who uses COCO.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.layouts import MaskSource
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.coco_file import Annotation, CocoImage, Id, Runs, read_coco

Encoded = Mapping[str, Any]
"""A run-length encoding of pycocotools."""


@dataclass(frozen=True, kw_only=True)
class CocoMasks(MaskSource):
    """The masks that annotation files describe; a mask is named `<file>#<id>:<image>`.

    Attributes:
        stamps: each annotation file -> what `stamp_of_uri` said of it.
        numbers: each annotation file -> the class number of each category; 255 for "no label".
        background: class number of pixels without annotation; 255 for "no label".
        smaller_on_top: whether the smaller of two objects covers the larger one; if not, the later
            one in the file covers the earlier one.
        ignores_crowds: whether crowds have no label; if not, they are objects like all others.
    """

    stamps: Mapping[str, str]
    numbers: Mapping[str, Mapping[Id, int]]
    background: int
    smaller_on_top: bool
    ignores_crowds: bool

    def size(self, uri: str) -> tuple[int, int]:
        """Return (height, width) as the annotation file gives them; see `MaskSource.size`."""
        _, image = self._find(uri)
        return image.height, image.width

    def read(self, uri: str) -> np.ndarray:
        """Draw a mask; see `MaskSource.read`."""
        place, image = self._find(uri)
        numbers = self.numbers[place]
        mask = np.full((image.height, image.width), self.background, dtype=np.uint8)
        encoded = [_encode(annotation, image, uri) for annotation in image.annotations]
        for position in self._order(image, encoded):
            annotation = image.annotations[position]
            if annotation.category_id not in numbers:
                reason = f"its category {annotation.category_id} is not listed"
                raise _unusable(uri, image, annotation, reason)
            is_void = annotation.is_crowd and self.ignores_crowds
            number = IGNORE_INDEX if is_void else numbers[annotation.category_id]
            mask[_decode(encoded[position], image, annotation, uri)] = number
        return mask

    def _order(self, image: CocoImage, encoded: list[Encoded]) -> list[int]:
        """Return the annotations' positions in the order in which they are drawn.

        Ignored crowds come first, so single objects inside them keep their class.
        """
        areas = [_area(mask) if self.smaller_on_top else 0 for mask in encoded]
        crowds = [annotation.is_crowd and self.ignores_crowds for annotation in image.annotations]
        return sorted(range(len(encoded)), key=lambda i: (not crowds[i], -areas[i]))

    def _find(self, uri: str) -> tuple[str, CocoImage]:
        """Return the annotation file and the image that a mask's name means."""
        place = next((place for place in self.stamps if uri.startswith(f"{place}#")), None)
        if place is None:
            raise DataError(f"{uri}: is no mask of {', '.join(self.stamps)}")
        key = uri.removeprefix(f"{place}#")
        image = read_coco(place, self.stamps[place]).images.get(key)
        if image is None:
            raise DataError(
                f"{place}: does not list the image {key} (its id and name); the ids of a run's "
                "images must stay the same, so put back the file as it was"
            )
        return place, image


def check_installed() -> None:
    """Refuse to go on without pycocotools.

    Raises:
        ConfigError: naming the extra.
    """
    try:
        import pycocotools.mask  # noqa: F401, an optional package
    except ImportError as error:
        raise ConfigError(
            f"data.dataset 'coco': needs the package pycocotools ({error}); "
            "pip install 'ray_al[coco]'"
        ) from None


def _unusable(uri: str, image: CocoImage, annotation: Annotation, reason: str) -> DataError:
    return DataError(
        f"{uri} ({image.file_name}): annotation {annotation.name} cannot be drawn: {reason}; "
        "correct or remove it"
    )


def _encode(annotation: Annotation, image: CocoImage, uri: str) -> Encoded:
    """Return the pixels of an annotation as pycocotools encodes them.

    Raises:
        DataError: the annotation has no usable outline.
    """
    from pycocotools import mask as coco  # an optional package

    if isinstance(annotation.outline, str):
        raise _unusable(uri, image, annotation, annotation.outline)
    if isinstance(annotation.outline, Runs):
        return _encode_runs(annotation.outline, annotation, image, uri)
    if fault := _fault(annotation.outline, image):
        raise _unusable(uri, image, annotation, fault)
    polygons = coco.frPyObjects(list(annotation.outline), image.height, image.width)
    return dict(coco.merge(polygons))


def _encode_runs(runs: Runs, annotation: Annotation, image: CocoImage, uri: str) -> Encoded:
    from pycocotools import mask as coco  # an optional package

    if (runs.height, runs.width) != (image.height, image.width):
        size = f"{runs.height}x{runs.width}"
        reason = f"its runs are of {size} pixels, the image is {image.height}x{image.width}"
        raise _unusable(uri, image, annotation, reason)
    is_text = isinstance(runs.counts, bytes)
    total = sum(_lengths(runs.counts)) if isinstance(runs.counts, bytes) else runs.counts.sum()
    if total != image.height * image.width:
        reason = f"its runs cover {total} pixels, the image has {image.height * image.width}"
        raise _unusable(uri, image, annotation, reason)
    size_counts = {"size": [runs.height, runs.width], "counts": runs.counts}
    if is_text:
        return size_counts
    counts = runs.counts.tolist() if isinstance(runs.counts, np.ndarray) else []
    return dict(coco.frPyObjects({**size_counts, "counts": counts}, image.height, image.width))


def _lengths(text: bytes) -> list[int]:
    """Return the lengths that COCO's compressed text holds; damaged text gives any numbers.

    Each length is written in groups of five bits, the lowest first; from the third on, it is the
    difference to the last but one.
    """
    lengths: list[int] = []
    value = shift = 0
    for byte in text:
        group = byte - 48
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        value -= (1 << shift) if group & 0x10 else 0
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths if shift == 0 and min(lengths, default=0) >= 0 else []


def _fault(polygons: tuple[np.ndarray, ...], image: CocoImage) -> str | None:
    """Return why polygons cannot be of this image; None if they can."""
    points = np.concatenate(polygons)
    side = max(image.height, image.width)
    if points.min() < -side or points.max() > 2 * side:
        return (
            f"its points reach from {points.min():g} to {points.max():g}, far outside of "
            f"{image.height}x{image.width} pixels"
        )
    xs, ys = points[0::2], points[1::2]
    if xs.max() < 0 or ys.max() < 0 or xs.min() > image.width or ys.min() > image.height:
        return f"it lies outside of the image's {image.height}x{image.width} pixels"
    if points.min() >= 0 and points.max() <= 1 < side:
        return "its points lie between 0 and 1, but must be in pixels"
    return None


def _area(encoded: Encoded) -> int:
    from pycocotools import mask as coco  # an optional package

    return int(coco.area(encoded))


def _decode(encoded: Encoded, image: CocoImage, annotation: Annotation, uri: str) -> np.ndarray:
    """Return the pixels of an annotation, bool (H, W)."""
    from pycocotools import mask as coco  # an optional package

    try:
        pixels: np.ndarray = coco.decode(encoded).astype(bool)
    except ValueError as error:
        raise _unusable(uri, image, annotation, f"its runs are damaged ({error})") from None
    return pixels

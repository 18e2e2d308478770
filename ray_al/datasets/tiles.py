"""Divide large images into tiles, which take the place of images in a pool.

A tile is named by its image and the corner of its window (`scan.png#512,1024`), and its URI is that
of the file with the tile behind a `#`. The network sees the window at native size; the core is the
part of the window for which the tile alone stands: the cores of an image's tiles divide it without
gap or overlap. Regions, labels and predictions belong to cores, so nothing is labelled twice and
every pixel is predicted once, away from the border of its window.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ray_al.core.config import DataConfig
from ray_al.core.errors import DataError
from ray_al.core.types import Box, ImageFile

_MARK = "#tile="
_TILE = re.compile(r"^(.*)#tile=([\d,]+)$", re.DOTALL)


@dataclass(frozen=True)
class Tile:
    """A tile of an image; all numbers are native pixels.

    Attributes:
        image: height and width of the image.
        window: height and width of what the network sees. They may be more than the image's.
        corner: top and left of the window in the image.
        core: the part of the image for which the tile stands.
    """

    image: tuple[int, int]
    window: tuple[int, int]
    corner: tuple[int, int]
    core: Box

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the core."""
        return self.core.bottom - self.core.top, self.core.right - self.core.left

    @property
    def inner(self) -> Box:
        """The core, in pixels of the window."""
        (top, left), core = self.corner, self.core
        return Box(
            top=core.top - top,
            left=core.left - left,
            bottom=core.bottom - top,
            right=core.right - left,
        )

    def cut(self, window: np.ndarray) -> np.ndarray:
        """Return the core of an array (H, W, …) over the window."""
        inner = self.inner
        return window[inner.top : inner.bottom, inner.left : inner.right]

    def cells(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns that the core touches in a map of the window."""
        inner, (rows, columns) = self.inner, self.window
        return (
            slice(inner.top * height // rows, -(-inner.bottom * height // rows)),
            slice(inner.left * width // columns, -(-inner.right * width // columns)),
        )

    def place(self, core: np.ndarray, fill: int) -> np.ndarray:
        """Return an array over the window that holds an array over the core, and else `fill`."""
        placed = np.full((*self.window, *core.shape[2:]), fill, dtype=core.dtype)
        self.cut(placed)[...] = core
        return placed

    def seen_part(self, image: np.ndarray) -> np.ndarray:
        """Return the window of the image (H, W, …), as far as there is an image.

        It is a copy, which does not keep the memory of the image.
        """
        (top, left), (height, width) = self.corner, self.window
        return image[top : top + height, left : left + width].copy()

    def padded(self, part: np.ndarray) -> np.ndarray:
        """Return the part of the window where there is an image, padded to the window in black."""
        if part.shape[:2] == self.window:
            return part
        padded = np.zeros((*self.window, *part.shape[2:]), dtype=part.dtype)
        padded[: part.shape[0], : part.shape[1]] = part
        return padded

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return a copy of the core of an array (H, W, …) over the image."""
        core = self.core
        return image[core.top : core.bottom, core.left : core.right].copy()

    def check(self, size: tuple[int, int], source: str) -> None:
        """Refuse a file whose picture is not of the image's size.

        Raises:
            DataError: with both sizes.
        """
        if size != self.image:
            raise DataError(
                f"{source}: {size[0]}x{size[1]} pixels, but its tiles were made for an image of "
                f"{self.image[0]}x{self.image[1]}; put the earlier image back, and export masks "
                "at the size of their image"
            )

    def uri(self, uri: str) -> str:
        """Return the URI of the tile in a file."""
        core = dataclasses.astuple(self.core)
        numbers = (*self.image, *self.window, *self.corner, *core)
        return f"{uri}{_MARK}{','.join(map(str, numbers))}"


def split_uri(uri: str) -> tuple[str, Tile | None]:
    """Return the file of a URI, and the tile that it names; None for a whole image."""
    match = _TILE.match(uri) if _MARK in uri else None
    if match is None:
        return uri, None
    numbers = [int(number) for number in match[2].split(",")]
    top, left, bottom, right = numbers[6:]
    return match[1], Tile(
        image=(numbers[0], numbers[1]),
        window=(numbers[2], numbers[3]),
        corner=(numbers[4], numbers[5]),
        core=Box(top=top, left=left, bottom=bottom, right=right),
    )


def file_of(uri: str) -> str:
    """Return the URI of the file, without the tile."""
    return split_uri(uri)[0]


def image_of(image_id: str, uri: str) -> str:
    """Return the name of the image to which an image or tile of this name and URI belongs."""
    return image_id.rpartition("#")[0] if split_uri(uri)[1] else image_id


@dataclass(frozen=True)
class Tiling:
    """How images are divided.

    Attributes:
        window: height and width of windows.
        overlap: least number of pixels that neighbouring windows share.
    """

    window: tuple[int, int]
    overlap: int

    @classmethod
    def of(cls, data: DataConfig) -> "Tiling | None":
        """Return the tiling that the settings give; None if images stay whole."""
        return None if data.tile is None else cls(data.tile, data.overlap)

    def tiles(self, size: tuple[int, int]) -> list[Tile]:
        """Return the tiles of an image of a height and width, row by row.

        Windows lie at even distances and end at the border of the image, so none is smaller; an
        image that is smaller than a window has one tile, which is padded.
        """
        rows, columns = (
            list(self._spans(length, window))
            for length, window in zip(size, self.window, strict=True)
        )
        return [
            Tile(size, self.window, (top, left), Box(top=a, left=c, bottom=b, right=d))
            for top, a, b in rows
            for left, c, d in columns
        ]

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the different sizes of the cores of an image of a height and width."""
        return list(dict.fromkeys(tile.size for tile in self.tiles(size)))

    def _spans(self, length: int, window: int) -> Iterator[tuple[int, int, int]]:
        """Yield the beginning of each window on an axis, and beginning and end of its core."""
        count = max(1, -(-(length - self.overlap) // (window - self.overlap)))
        rest = max(0, length - window)
        starts = [number * rest // max(1, count - 1) for number in range(count)]
        # Two windows meet in the middle of what they share.
        cuts = [(before + start + window) // 2 for before, start in itertools.pairwise(starts)]
        yield from zip(starts, [0, *cuts], [*cuts, length], strict=True)

    def divide(self, file: ImageFile, size: tuple[int, int]) -> Iterator[tuple[ImageFile, Tile]]:
        """Yield the tiles of an image of a height and width, each with its part of the mask."""
        for tile in self.tiles(size):
            part = ImageFile(
                image_id=f"{file.image_id}#{tile.corner[0]},{tile.corner[1]}",
                uri=tile.uri(file.uri),
                mask_uri=None if file.mask_uri is None else tile.uri(file.mask_uri),
            )
            yield part, tile


def files_at_once(data: DataConfig) -> int:
    """Return how many files are to be checked at a time: of large ones, one fills the memory."""
    return 4 if data.tile is None else 1

"""Cells of a grid as regions, for images of any size."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.core.families.regions import Regions
from ray_al.core.types import Box

Cells = Annotated[int, Field(ge=1, le=1000)]


class Grid(Regions):
    """A grid of `rows` x `columns` cells that covers every pixel once.

    Edges of cells lie at floor(i * size / cells).
    """

    kind: Literal["grid"] = "grid"
    rows: Cells = 5
    """Number of rows of cells."""
    columns: Cells = 5
    """Number of columns of cells."""

    paper: ClassVar[str] = "EquAL: Golestaneh and Kitani, BMVC 2020"
    are_boxes: ClassVar[bool] = True
    size_keys: ClassVar[tuple[str, ...]] = ("rows", "columns")

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "GridRegions":
        """Return the cells of an image; see `Regions.of_image`."""
        return GridRegions(rows=self.rows, columns=self.columns, height=height, width=width)

    def num_regions(self, height: int, width: int) -> int:
        """Return the number of cells, 0 for an image smaller than the grid."""
        return self.of_image(height, width).num_regions

    def too_small(self, height: int, width: int) -> str | None:
        """Return why the image is too small for the grid; see `Regions.too_small`."""
        if self.num_regions(height, width):
            return None
        return (
            f"the image of {height}x{width} pixels is smaller than the grid of "
            f"{self.rows}x{self.columns} cells; lower regions.rows and regions.columns, "
            "or take the image out of the split"
        )

    def describe(self, differing: object) -> str:
        """Return `5x5` for five rows and columns, whichever settings differ."""
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True, kw_only=True)
class GridRegions:
    """The cells of one image; an image smaller than the grid has none, and id -1 everywhere."""

    rows: int
    columns: int
    height: int
    width: int

    @property
    def num_regions(self) -> int:
        """Return the number of cells."""
        fits = self.height >= self.rows and self.width >= self.columns
        return self.rows * self.columns if fits else 0

    @cached_property
    def boxes(self) -> np.ndarray:
        """Return int32 (rows * columns, 4), row by row: top, left, bottom, right."""
        ys, xs = _edges(self.height, self.rows), _edges(self.width, self.columns)
        top, left = np.meshgrid(ys[:-1], xs[:-1], indexing="ij")
        bottom, right = np.meshgrid(ys[1:], xs[1:], indexing="ij")
        boxes = np.stack([top, left, bottom, right], axis=-1).reshape(-1, 4).astype(np.int32)
        return boxes[: self.num_regions]

    @cached_property
    def num_pixels(self) -> np.ndarray:
        """Return int64 (rows * columns,), the pixels of each cell."""
        boxes = self.boxes.astype(np.int64)
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    @cached_property
    def region_map(self) -> np.ndarray:
        """Return int32 (height, width), the cell of every pixel."""
        if self.num_regions == 0:
            return np.full((self.height, self.width), -1, dtype=np.int32)
        row_of = _cell_of_each(self.height, self.rows)
        column_of = _cell_of_each(self.width, self.columns)
        region_map: np.ndarray = row_of[:, None] * np.int32(self.columns) + column_of[None, :]
        return region_map

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        """Return int32 (n, 4), the boxes of some cells; `regions` is int (n,)."""
        chosen: np.ndarray = self.boxes[regions]
        return chosen

    def box(self, region: int) -> Box:
        """Return the box of a cell."""
        top, left, bottom, right = map(int, self.boxes[region])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def mask(self, region: int) -> np.ndarray | None:
        """Return None, as a cell fills its box."""
        return None


def _cell_of_each(size: int, cells: int) -> np.ndarray:
    """Return int32 (size,), the number of the cell of each pixel along an axis."""
    return np.repeat(np.arange(cells, dtype=np.int32), np.diff(_edges(size, cells)))


def _edges(size: int, cells: int) -> np.ndarray:
    """Return int64 (cells + 1,), the edges of cells along an axis."""
    return np.arange(cells + 1, dtype=np.int64) * size // cells

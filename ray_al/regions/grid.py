"""A grid over an image of any size; `image` is the grid of one cell."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ray_al.core.types import Box


@dataclass(frozen=True, kw_only=True)
class Grid:
    """`rows` x `columns` cells whose edges lie at floor(i * size / cells): no pixel is lost or counted twice."""

    rows: int
    columns: int

    needs_maps: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "GridRegions":
        return GridRegions(grid=self, height=height, width=width)

    def num_regions(self, height: int, width: int) -> int:
        return self.rows * self.columns if height >= self.rows and width >= self.columns else 0

    def boxes(self, height: int, width: int) -> np.ndarray:
        """int32 (rows * columns, 4), row by row: top, left, bottom, right."""
        ys, xs = _edges(height, self.rows), _edges(width, self.columns)
        top, left = np.meshgrid(ys[:-1], xs[:-1], indexing="ij")
        bottom, right = np.meshgrid(ys[1:], xs[1:], indexing="ij")
        return np.stack([top, left, bottom, right], axis=-1).reshape(-1, 4).astype(np.int32)

    def box(self, region: int, height: int, width: int) -> Box:
        top, left, bottom, right = map(int, self.boxes(height, width)[region])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def num_pixels(self, height: int, width: int) -> np.ndarray:
        boxes = self.boxes(height, width).astype(np.int64)
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


@dataclass(frozen=True, kw_only=True)
class GridRegions:
    """The cells of one image; none, and label -1 everywhere, where it is smaller than the grid."""

    grid: Grid
    height: int
    width: int

    @property
    def num_regions(self) -> int:
        return self.grid.num_regions(self.height, self.width)

    @cached_property
    def boxes(self) -> np.ndarray:
        return self.grid.boxes(self.height, self.width)[: self.num_regions]

    @cached_property
    def num_pixels(self) -> np.ndarray:
        return self.grid.num_pixels(self.height, self.width)[: self.num_regions]

    @cached_property
    def labels(self) -> np.ndarray:
        if self.num_regions == 0:
            return np.full((self.height, self.width), -1, dtype=np.int32)
        rows, columns = self.grid.rows, self.grid.columns
        row_of = np.repeat(np.arange(rows, dtype=np.int32), np.diff(_edges(self.height, rows)))
        column_of = np.repeat(np.arange(columns, dtype=np.int32), np.diff(_edges(self.width, columns)))
        return row_of[:, None] * np.int32(columns) + column_of[None, :]

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = self.boxes[regions]
        return chosen

    def box(self, region: int) -> Box:
        return self.grid.box(region, self.height, self.width)

    def mask(self, region: int) -> None:
        return None


def _edges(size: int, cells: int) -> np.ndarray:
    return np.arange(cells + 1, dtype=np.int64) * size // cells

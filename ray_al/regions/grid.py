"""A grid over an image of any size."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.core.families.regions import Regions
from ray_al.core.types import Box

Cells = Annotated[int, Field(ge=1, le=1000)]


class Grid(Regions):
    """`rows` x `columns` cells whose edges lie at floor(i * size / cells): no pixel is lost or counted twice."""

    kind: Literal["grid"] = "grid"
    rows: Cells = 5
    """Number of rows of cells."""
    columns: Cells = 5
    """Number of columns of cells."""

    paper: ClassVar[str] = "EquAL: Golestaneh and Kitani, BMVC 2020"
    are_boxes: ClassVar[bool] = True
    size_keys: ClassVar[tuple[str, ...]] = ("rows", "columns")

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "GridRegions":
        """As `Regions.of_image`."""
        return GridRegions(rows=self.rows, columns=self.columns, height=height, width=width)

    def num_regions(self, height: int, width: int) -> int:
        """As `Regions.num_regions`."""
        return self.of_image(height, width).num_regions

    def too_small(self, height: int, width: int) -> str | None:
        """As `Regions.too_small`."""
        if self.num_regions(height, width):
            return None
        return (
            f"the image of {height}x{width} pixels is smaller than the grid of {self.rows}x{self.columns} cells; "
            "lower regions.rows and regions.columns, or take the image out of the split"
        )

    def describe(self, told: object) -> str:
        """As `Regions.describe`: rows and columns."""
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True, kw_only=True)
class GridRegions:
    """The cells of one image; none, and label -1 everywhere, where it is smaller than the grid."""

    rows: int
    columns: int
    height: int
    width: int

    @property
    def num_regions(self) -> int:
        return (
            self.rows * self.columns
            if self.height >= self.rows and self.width >= self.columns
            else 0
        )

    @cached_property
    def boxes(self) -> np.ndarray:
        """int32 (rows * columns, 4), row by row: top, left, bottom, right."""
        ys, xs = _edges(self.height, self.rows), _edges(self.width, self.columns)
        top, left = np.meshgrid(ys[:-1], xs[:-1], indexing="ij")
        bottom, right = np.meshgrid(ys[1:], xs[1:], indexing="ij")
        boxes = np.stack([top, left, bottom, right], axis=-1).reshape(-1, 4).astype(np.int32)
        return boxes[: self.num_regions]

    @cached_property
    def num_pixels(self) -> np.ndarray:
        boxes = self.boxes.astype(np.int64)
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    @cached_property
    def labels(self) -> np.ndarray:
        if self.num_regions == 0:
            return np.full((self.height, self.width), -1, dtype=np.int32)
        row_of = np.repeat(
            np.arange(self.rows, dtype=np.int32), np.diff(_edges(self.height, self.rows))
        )
        column_of = np.repeat(
            np.arange(self.columns, dtype=np.int32), np.diff(_edges(self.width, self.columns))
        )
        return row_of[:, None] * np.int32(self.columns) + column_of[None, :]

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = self.boxes[regions]
        return chosen

    def box(self, region: int) -> Box:
        top, left, bottom, right = map(int, self.boxes[region])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def mask(self, region: int) -> None:
        return None


def _edges(size: int, cells: int) -> np.ndarray:
    return np.arange(cells + 1, dtype=np.int64) * size // cells

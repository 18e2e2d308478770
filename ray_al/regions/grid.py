"""A grid over an image of any size; `image` is the grid of one cell."""

from dataclasses import dataclass

import numpy as np

from ray_al.core.types import Box


@dataclass(frozen=True, kw_only=True)
class Grid:
    """`rows` x `columns` cells whose edges lie at floor(i * size / cells): no pixel is lost or counted twice."""

    rows: int
    columns: int

    def num_regions(self, height: int, width: int) -> int:
        return self.rows * self.columns if height >= self.rows and width >= self.columns else 0

    def boxes(self, height: int, width: int) -> np.ndarray:
        """int32 (rows * columns, 4), row by row: top, left, bottom, right."""
        ys = np.arange(self.rows + 1, dtype=np.int64) * height // self.rows
        xs = np.arange(self.columns + 1, dtype=np.int64) * width // self.columns
        top, left = np.meshgrid(ys[:-1], xs[:-1], indexing="ij")
        bottom, right = np.meshgrid(ys[1:], xs[1:], indexing="ij")
        return np.stack([top, left, bottom, right], axis=-1).reshape(-1, 4).astype(np.int32)

    def box(self, region: int, height: int, width: int) -> Box:
        top, left, bottom, right = map(int, self.boxes(height, width)[region])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def num_pixels(self, height: int, width: int) -> np.ndarray:
        boxes = self.boxes(height, width).astype(np.int64)
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

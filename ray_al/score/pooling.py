"""Region values, over boxes or label maps in native pixels, of maps at any resolution."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from scipy import sparse

from ray_al.core.errors import ConfigError, RayALError


def overlap_weights(starts: np.ndarray, ends: np.ndarray, size: int, cells: int) -> torch.Tensor:
    """Share of each interval that falls on each of `cells` equal cells of an axis of `size` pixels.

    Returns:
        float32 (R, cells); every row sums to 1.
    """
    scale = cells / size
    edges = np.arange(cells + 1, dtype=np.float64)
    low, high = (values[:, None].astype(np.float64) * scale for values in (starts, ends))
    overlap = np.minimum(high, edges[None, 1:]) - np.maximum(low, edges[None, :-1])
    overlap = overlap.clip(0)
    return torch.from_numpy((overlap / overlap.sum(1, keepdims=True)).astype(np.float32))


class Pooler(ABC):
    """Pools maps of one image into its regions; a cell counts by the area that a region covers of it.

    Attributes:
        num_pixels: int64 (R,), native pixels of each region.
    """

    num_pixels: np.ndarray

    def __init__(self) -> None:
        self._areas: dict[tuple[int, int], sparse.csr_matrix] = {}

    @abstractmethod
    def _measure(self, rows: int, columns: int) -> sparse.csr_matrix:
        """float64 (R, rows * columns): area of each region on each cell, in units that make it a whole number, so that sums are exact."""

    def areas(self, rows: int, columns: int) -> sparse.csr_matrix:
        """`_measure`, kept for the maps of that size to come."""
        if (rows, columns) not in self._areas:
            self._areas[rows, columns] = self._measure(rows, columns)
        return self._areas[rows, columns]

    def mean(self, values_CHW: torch.Tensor) -> np.ndarray:
        """Fractional-area means, float32 (R, C)."""
        areas = self.areas(values_CHW.shape[-2], values_CHW.shape[-1])
        flat = _to_numpy(values_CHW).reshape(len(values_CHW), -1).T
        return (areas @ flat / areas.sum(axis=1).A).astype(np.float32)

    def max(self, values_HW: torch.Tensor) -> np.ndarray:
        """The highest cell that a region touches, float32 (R,)."""
        areas = self.areas(*values_HW.shape)
        return np.maximum.reduceat(
            _to_numpy(values_HW).ravel()[areas.indices], areas.indptr[:-1]
        ).astype(np.float32)

    def top_share(self, values_HW: torch.Tensor, share: float) -> np.ndarray:
        """Mean of the highest `share` of each region's area, in (0, 1], float32 (R,); the last cell counts in part."""
        areas = self.areas(*values_HW.shape)
        values, regions, starts = (
            _to_numpy(values_HW).ravel()[areas.indices],
            _regions(areas),
            areas.indptr[:-1],
        )
        order = np.lexsort((-values, regions))
        values, parts = values[order], areas.data[order]
        totals = np.add.reduceat(parts, starts)
        before = np.cumsum(parts) - parts
        before -= before[starts][regions]
        taken = (share * totals[regions] - before).clip(0, parts)
        return (np.add.reduceat(taken * values, starts) / np.add.reduceat(taken, starts)).astype(
            np.float32
        )

    def pool(self, values_HW: torch.Tensor, aggregation: str, share: float) -> np.ndarray:
        """One value a region, float32 (R,).

        Args:
            values_HW: pixel scores.
            aggregation: `mean`; `sum`, which is the mean times the native pixels; `max`; or `top_share`.
            share: of `top_share`.

        Raises:
            ConfigError: another aggregation.
        """
        if aggregation == "mean":
            return self.mean(values_HW[None])[:, 0]
        if aggregation == "sum":
            return (self.mean(values_HW[None])[:, 0].astype(np.float64) * self.num_pixels).astype(
                np.float32
            )
        if aggregation == "max":
            return self.max(values_HW)
        if aggregation == "top_share":
            return self.top_share(values_HW, share)
        raise ConfigError(f"aggregation {aggregation!r}: unknown; give mean, sum, max or top_share")

    def dominant(self, ids_HW: torch.Tensor, num_classes: int) -> np.ndarray:
        """The class with most area in each region, the lowest of equals, int16 (R,)."""
        areas = self.areas(*ids_HW.shape)
        bins = (
            _regions(areas) * num_classes
            + ids_HW.cpu().numpy().astype(np.int64).ravel()[areas.indices]
        )
        counts = np.bincount(bins, areas.data, areas.shape[0] * num_classes)
        return counts.reshape(-1, num_classes).argmax(1).astype(np.int16)


MANY = 256
"""Boxes of a grid beyond this number are pooled by its rows, then by its columns: 2,700 cells of a map of 45x60 then take 0.1 ms in place of
0.9. Sums of fewer are taken one box after the other, as they always were; the two ways may differ in a score's last bit."""


class BoxPooler(Pooler):
    """Regions that are boxes, int (R, 4): top, left, bottom, right, half-open, in an image of `height` x `width` native pixels."""

    def __init__(self, boxes: np.ndarray, height: int, width: int) -> None:
        super().__init__()
        self.boxes, self.height, self.width = boxes.astype(np.int64), height, width
        self.num_pixels = (self.boxes[:, 2] - self.boxes[:, 0]) * (
            self.boxes[:, 3] - self.boxes[:, 1]
        )
        self._overlaps: dict[tuple[int, int, torch.device], tuple[torch.Tensor, torch.Tensor]] = {}
        self._grid = _as_grid(self.boxes)

    def mean(self, values_CHW: torch.Tensor) -> np.ndarray:
        """Fractional-area means, float32 (R, C), by separable weights on the values' device."""
        rows, columns = self._weights(values_CHW.shape[1], values_CHW.shape[2], values_CHW.device)
        if self._grid is not None:
            first, row_of, first_column, column_of = self._grid
            cells = torch.einsum(
                "chw,rh,sw->rsc", values_CHW.float(), rows[first], columns[first_column]
            )
            return cells.cpu().numpy()[row_of, column_of]
        return (
            torch.einsum("chw,rh,rw->rc", values_CHW.float(), rows, columns)
            .contiguous()
            .cpu()
            .numpy()
        )

    def _weights(
        self, rows: int, columns: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`overlap_weights` of both axes, kept for the maps of that size to come."""
        if (rows, columns, device) not in self._overlaps:
            down = overlap_weights(self.boxes[:, 0], self.boxes[:, 2], self.height, rows)
            across = overlap_weights(self.boxes[:, 1], self.boxes[:, 3], self.width, columns)
            self._overlaps[rows, columns, device] = down.to(device), across.to(device)
        return self._overlaps[rows, columns, device]

    def _measure(self, rows: int, columns: int) -> sparse.csr_matrix:
        down = _overlaps(self.boxes[:, 0], self.boxes[:, 2], self.height, rows)
        across = _overlaps(self.boxes[:, 1], self.boxes[:, 3], self.width, columns)
        return sparse.vstack(
            [sparse.kron(y, x, format="csr") for y, x in zip(down, across, strict=True)],
            format="csr",
        )


class LabelPooler(Pooler):
    """Regions of any shape, as an int32 (H, W) map of native pixels.

    Raises:
        RayALError: the ids are not 0 to R - 1, each with a pixel.
    """

    def __init__(self, labels: np.ndarray) -> None:
        super().__init__()
        if labels.min() < 0 or not np.bincount(labels.ravel()).all():
            raise RayALError(
                f"regions of a label map must be numbered from 0 without gaps; it has {len(np.unique(labels))} ids "
                f"from {labels.min()} to {labels.max()}; renumber them"
            )
        self.labels = labels
        self.num_pixels = np.bincount(labels.ravel())

    def _measure(self, rows: int, columns: int) -> sparse.csr_matrix:
        pixel_y, cell_y, length_y = _pieces(self.labels.shape[0], rows)
        pixel_x, cell_x, length_x = _pieces(self.labels.shape[1], columns)
        regions = self.labels[pixel_y][:, pixel_x].ravel()
        cells = (cell_y[:, None] * columns + cell_x).ravel()
        sizes = (length_y[:, None] * length_x).ravel().astype(np.float64)
        # The sums of the same (region, cell) come with the conversion.
        return sparse.coo_matrix(
            (sizes, (regions, cells)), (len(self.num_pixels), rows * columns)
        ).tocsr()


def _as_grid(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Of more than `MANY` boxes, if they are all cells of a grid: a box of each row, each box's row, and the same of columns."""
    if len(boxes) <= MANY:
        return None
    _, first, row_of = np.unique(boxes[:, [0, 2]], axis=0, return_index=True, return_inverse=True)
    _, first_column, column_of = np.unique(
        boxes[:, [1, 3]], axis=0, return_index=True, return_inverse=True
    )
    if len(first) * len(first_column) != len(boxes):
        return None
    return first, row_of.ravel(), first_column, column_of.ravel()


def _to_numpy(values: torch.Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()


def _regions(areas: sparse.csr_matrix) -> np.ndarray:
    """The region of each stored area, int64."""
    return np.repeat(np.arange(areas.shape[0]), np.diff(areas.indptr))


def _overlaps(starts: np.ndarray, ends: np.ndarray, size: int, cells: int) -> sparse.csr_matrix:
    """Length of each interval on each cell of an axis, in units of 1 / (size * cells) of it: whole numbers."""
    edges = np.arange(cells + 1) * size
    overlap = np.minimum(ends[:, None] * cells, edges[1:]) - np.maximum(
        starts[:, None] * cells, edges[:-1]
    )
    return sparse.csr_matrix(overlap.clip(0).astype(np.float64))


def _pieces(size: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An axis cut at the edges of its pixels and of its cells: pixel, cell and length of each piece, in `_overlaps`' units."""
    cuts = np.union1d(np.arange(size + 1) * cells, np.arange(cells + 1) * size)
    return cuts[:-1] // cells, cuts[:-1] // size, np.diff(cuts)

"""Floating windows as regions (RIPU, Xie et al., CVPR 2022): a square around any pixel, never over another."""

from typing import ClassVar, Literal

import numpy as np
from scipy.ndimage import correlate1d

from ray_al.regions.sparse import Radius, SparseRegions


class Windows(SparseRegions):
    """One region around each pixel: the (2 * radius + 1)^2 window, clipped at the border."""

    kind: Literal["windows"] = "windows"
    radius: Radius = 1
    """Windows are 2 * radius + 1 native pixels wide, and never overlap."""

    paper: ClassVar[str] = "RIPU: Xie et al., CVPR 2022"
    told_keys: ClassVar[tuple[str, ...]] = ("radius",)

    @property
    def reach(self) -> int:
        """As `SparseRegions.reach`."""
        return self.radius

    @property
    def apart(self) -> int:
        """As `SparseRegions.apart`: windows whose centres lie closer overlap."""
        return 2 * self.radius

    def region_scores(self, scores_HW: np.ndarray) -> np.ndarray:
        """As `SparseRegions.region_scores`: the mean of each pixel's window."""
        return window_means(scores_HW, self.radius)


def window_means(values_HW: np.ndarray, radius: int) -> np.ndarray:
    """float32 (H, W): the mean of each pixel's (2 * radius + 1)^2 window over the pixels that exist.

    Summed in float64 window by window, with no running sum, so that equal windows have equal means and ties stay ties.
    """
    ones = np.ones(2 * radius + 1)
    height, width = values_HW.shape
    sums_HW = values_HW.astype(np.float64)
    for axis in (0, 1):
        sums_HW = correlate1d(sums_HW, ones, axis=axis, mode="constant")
    rows, columns = (correlate1d(np.ones(size), ones, mode="constant") for size in (height, width))
    return (sums_HW / (rows[:, None] * columns)).astype(np.float32)

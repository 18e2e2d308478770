"""Windows around any pixel as regions, which never overlap (RIPU: Xie et al., CVPR 2022)."""

from typing import ClassVar, Literal

import numpy as np
from scipy.ndimage import correlate1d

from ray_al.regions.sparse import Radius, SparseRegions


class Windows(SparseRegions):
    """A window of (2 * radius + 1)^2 pixels around each pixel, clipped at the border."""

    kind: Literal["windows"] = "windows"
    radius: Radius = 1
    """Radius of the windows, which are 2 * radius + 1 native pixels wide, and never overlap."""

    paper: ClassVar[str] = "RIPU: Xie et al., CVPR 2022"
    distinguishing_keys: ClassVar[tuple[str, ...]] = ("radius",)

    @property
    def reach(self) -> int:
        """Return `radius`; see `SparseRegions.reach`."""
        return self.radius

    @property
    def apart(self) -> int:
        """Return the distance within which windows overlap; see `SparseRegions.apart`."""
        return 2 * self.radius

    def region_scores(self, scores_HW: np.ndarray) -> np.ndarray:
        """Return the mean score of each pixel's window; see `SparseRegions.region_scores`."""
        return window_means(scores_HW, self.radius)


def window_means(values_HW: np.ndarray, radius: int) -> np.ndarray:
    """Return the mean of each pixel's (2 * radius + 1)^2 window, over its pixels inside the image.

    Each window is summed in float64 on its own, without a running sum, so equal windows have equal
    means and ties stay ties.

    Args:
        values_HW: float (H, W).
        radius: in pixels.

    Returns:
        float32 (H, W).
    """
    ones = np.ones(2 * radius + 1)
    height, width = values_HW.shape
    sums_HW = values_HW.astype(np.float64)
    for axis in (0, 1):
        sums_HW = correlate1d(sums_HW, ones, axis=axis, mode="constant")
    rows, columns = (correlate1d(np.ones(size), ones, mode="constant") for size in (height, width))
    means_HW: np.ndarray = (sums_HW / (rows[:, None] * columns)).astype(np.float32)
    return means_HW

"""Floating windows as regions (RIPU, Xie et al., CVPR 2022): a square around any pixel, never over another."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.ndimage import correlate1d

from ray_al.regions.sparse import CentredRegions, choose_apart, to_native


@dataclass(frozen=True, kw_only=True)
class Windows:
    """One region around each pixel: the (2 * radius + 1)^2 window, clipped at the border.

    Attributes:
        per_image: candidates that an image offers in one cycle.
        radius: k of the paper; 1 makes windows of 3 x 3 native pixels.
    """

    per_image: int = 10
    radius: int = 1

    needs_maps: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = True

    def num_regions(self, height: int, width: int) -> int:
        """How many windows fit without overlap, not one a pixel: so that a share of regions is about that share of pixels."""
        return self.of_image(height, width).num_regions

    def of_image(self, height: int, width: int, data: bytes | None = None) -> CentredRegions:
        return CentredRegions(height=height, width=width, reach=self.radius)

    def best(self, scores_HW: np.ndarray, height: int, width: int, *, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return best_windows(scores_HW, height, width, n=self.per_image, radius=self.radius, taken=taken)


def best_windows(scores_HW: np.ndarray, height: int, width: int, *, n: int, radius: int, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best windows of an image, greedily: the highest mean first, ties to the lower id, centres more than 2 * radius apart.

    Args:
        scores_HW: pixel scores at any resolution, brought to native pixels bilinearly.
        n: how many at most; fewer where no more fit.
        radius: k; windows have 2 * k + 1 pixels a side.
        taken: int64 (t,), centres y * width + x of windows chosen before: no window overlaps theirs.

    Returns:
        ids of the centres int64 (n',) and mean scores float32 (n',), in the order of the choice.

    Raises:
        DataError: a score is not finite.
    """
    means_HW = window_means(to_native(scores_HW, height, width), radius)
    return choose_apart(means_HW, n=n, radius=2 * radius, taken=taken)


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

"""Single pixels as regions, a few per image, as in PixelPick (Shin et al., ICCV Workshops 2021).

PixelPick draws them from the best 5 %, as `strategy.offer.kind=top_share` does. Without an offer,
the best pixels are taken and kept apart by a radius, as in HALO's code (with radius 5).
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.regions.sparse import Radius, SparseRegions


class Pixels(SparseRegions):
    """One region per pixel."""

    kind: Literal["pixels"] = "pixels"
    radius: Radius = 1
    """Chebyshev distance in native pixels within which no two pixels are both chosen."""

    paper: ClassVar[str] = "PixelPick: Shin et al., ICCV Workshops 2021"

    @property
    def reach(self) -> int:
        """Return 0: a region is its centre; see `SparseRegions.reach`."""
        return 0

    @property
    def apart(self) -> int:
        """Return `radius`; see `SparseRegions.apart`."""
        return self.radius

    def region_scores(self, scores_HW: np.ndarray) -> np.ndarray:
        """Return the scores of the pixels; see `SparseRegions.region_scores`."""
        return scores_HW

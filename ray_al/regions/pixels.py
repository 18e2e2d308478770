"""Single pixels as regions, as in PixelPick (Shin et al., ICCV Workshops 2021): a few an image.

PixelPick draws them from the best 5 %, as `strategy.offer.kind=top_share` does; here the best are taken, kept apart by a radius as HALO's
code does (radius 5).
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.regions.sparse import Radius, SparseRegions


class Pixels(SparseRegions):
    """One region a pixel."""

    kind: Literal["pixels"] = "pixels"
    radius: Radius = 1
    """Chebyshev distance in native pixels within which two pixels are not both chosen."""

    paper: ClassVar[str] = "PixelPick: Shin et al., ICCV Workshops 2021"

    @property
    def reach(self) -> int:
        """As `SparseRegions.reach`."""
        return 0

    @property
    def apart(self) -> int:
        """As `SparseRegions.apart`."""
        return self.radius

    def region_scores(self, scores_HW: np.ndarray) -> np.ndarray:
        """As `SparseRegions.region_scores`: a pixel's own."""
        return scores_HW

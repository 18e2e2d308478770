"""Single pixels as regions, as in PixelPick (Shin et al., ICCV Workshops 2021): a few an image.

PixelPick draws them from the best 5 %, as `strategy.offer.kind=top_share` does; here the best are taken, kept apart by a radius as HALO's
code does (radius 5).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ray_al.regions.sparse import CentredRegions, choose_apart, to_native


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """One region a pixel.

    Attributes:
        per_image: candidates that an image offers in one cycle.
        radius: Chebyshev distance in native pixels within which two pixels are not both chosen.
    """

    per_image: int = 10
    radius: int = 5

    needs_maps: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = True

    def num_regions(self, height: int, width: int) -> int:
        """All pixels."""
        return height * width

    def of_image(self, height: int, width: int, data: bytes | None = None) -> CentredRegions:
        return CentredRegions(height=height, width=width, reach=0)

    def best(self, scores_HW: np.ndarray, height: int, width: int, *, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return best_pixels(scores_HW, height, width, n=self.per_image, radius=self.radius, taken=taken)


def best_pixels(scores_HW: np.ndarray, height: int, width: int, *, n: int, radius: int, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best pixels of an image by greedy non-maximum suppression: highest first, ties to the lower id.

    Args:
        scores_HW: pixel scores at any resolution, brought to native pixels bilinearly.
        n: how many at most; fewer where no more fit.
        radius: none is chosen within this Chebyshev distance of a chosen or taken one; 0 bars only itself.
        taken: int64 (t,), pixels chosen before, y * width + x.

    Returns:
        ids int64 (n',) and scores float32 (n',), in the order of the choice.

    Raises:
        DataError: a score is not finite.
    """
    return choose_apart(to_native(scores_HW, height, width), n=n, radius=radius, taken=taken)

"""Random regions among the most uncertain ones (PixelPick: Shin et al., ICCV Workshops 2021)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ray_al.core.variants import Offer, ScoredImage
from ray_al.regions.offers.apart import choose_in_order, fill_by_score, free_pixels


class TopShareOffer(Offer):
    """Random regions among the best.

    Neighbours, which have similar scores, are then seldom offered together.
    """

    kind: Literal["top_share"] = "top_share"
    share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the image's regions, those with the highest scores, from which the offered ones are
    drawn; regions too close to taken ones do not count.
    """

    def choose(self, image: ScoredImage) -> np.ndarray:
        """Return ids, drawn ones first; see `Offer.choose`."""
        height, width = image.scores.shape
        free = free_pixels(height, width, radius=image.radius, taken=image.taken)
        ids = np.flatnonzero(free)
        count = max(image.limit, round(self.share * height * width))
        best = ids[np.argsort(-image.scores.ravel()[ids], kind="stable")[:count]]
        chosen = choose_in_order(
            image.rng.permutation(best), free, n=image.limit, radius=image.radius
        )
        return fill_by_score(chosen, free, image.scores, n=image.limit, radius=image.radius)

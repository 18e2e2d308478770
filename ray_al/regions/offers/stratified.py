"""Regions of the image's rarer classes first: for each, a class is drawn, then one of its most uncertain pixels.

It descends from PixelPick's draw among the best (Shin et al., ICCV Workshops 2021) and from sampling
that favours rare classes; it stands in no paper.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ray_al.core.section import Count, Weight
from ray_al.core.variants import Offer, ScoredImage
from ray_al.regions.offers.apart import choose_in_order, fill_by_score, free_pixels


class StratifiedOffer(Offer):
    """Classes are those that the model predicts in this image, and their shares are those of its pixels.

    Shares of the whole pool are not known while its images are scored.
    """

    kind: Literal["stratified"] = "stratified"
    exponent: Weight = 0.5
    """A class is drawn in proportion to (its share + 0.002) to the power of minus this number."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Part of a class's pixels, the most uncertain ones, from which a pixel is drawn."""
    least_pixels: Count = 16
    """Classes with fewer predicted pixels in the image are left out."""

    @property
    def reads_classes(self) -> bool:
        """As `Offer.reads_classes`."""
        return True

    def choose(self, image: ScoredImage) -> np.ndarray:
        """As `Offer.choose`."""
        assert image.classes is not None
        height, width = image.scores.shape
        free = free_pixels(height, width, radius=image.radius, taken=image.taken)
        queues = self._queues(image, free)
        sizes = np.bincount(image.classes.ravel()) / image.classes.size
        weights = {one: (sizes[one] + SMOOTHING) ** -self.exponent for one in queues}
        chosen: list[int] = []
        while queues and len(chosen) < image.limit:
            names = list(queues)
            chances = np.array([weights[one] for one in names])
            drawn = names[int(image.rng.choice(len(names), p=chances / chances.sum()))]
            picked = choose_in_order(queues[drawn], free, n=1, radius=image.radius)
            if len(picked):
                chosen.append(int(picked[0]))
            else:
                del queues[drawn]
        return fill_by_score(
            np.array(chosen, dtype=np.int64), free, image.scores, n=image.limit, radius=image.radius
        )

    def _queues(self, image: ScoredImage, free: np.ndarray) -> dict[int, np.ndarray]:
        """By class the ids of its most uncertain free pixels, in drawn order; with one or more."""
        assert image.classes is not None
        classes, scores = image.classes.ravel(), image.scores.ravel()
        queues = {}
        for one in np.flatnonzero(np.bincount(classes) >= self.least_pixels).tolist():
            ids = np.flatnonzero((classes == one) & free.ravel())
            count = max(image.limit, round(self.share * int((classes == one).sum())))
            best = ids[np.argsort(-scores[ids], kind="stable")[:count]]
            if len(best):
                queues[one] = image.rng.permutation(best)
        return queues


SMOOTHING = 0.002
"""Added to a class's share, so that one of very few pixels does not take all draws."""

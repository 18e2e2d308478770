"""Regions stratified by predicted class, with rare classes favoured.

For each region, a class is drawn, then one of its most uncertain pixels. The rule combines
PixelPick's draw among the best (Shin et al., ICCV Workshops 2021) with sampling that favours rare
classes; no paper describes it.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ray_al.core.section import Count, Weight
from ray_al.core.variants import Offer, ScoredImage
from ray_al.regions.offers.apart import choose_in_order, fill_by_score, free_pixels


class StratifiedOffer(Offer):
    """For each region a class is drawn, then one of its most uncertain pixels.

    Classes and their shares are those that the model predicts in this image; shares of the whole
    pool are not known while its images are scored.
    """

    kind: Literal["stratified"] = "stratified"
    exponent: Weight = 0.5
    """A class is drawn with probability proportional to (its share + 0.002) ** -exponent."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of a class's pixels, the most uncertain ones, from which a pixel is drawn."""
    least_pixels: Count = 16
    """Classes with fewer predicted pixels in the image are left out."""

    @property
    def reads_classes(self) -> bool:
        """Return True; see `Offer.reads_classes`."""
        return True

    def choose(self, image: ScoredImage) -> np.ndarray:
        """Return ids in the order of choice; see `Offer.choose`."""
        assert image.classes is not None
        height, width = image.scores.shape
        free = free_pixels(height, width, radius=image.radius, taken=image.taken)
        queues = self._queues(image, free)
        sizes = np.bincount(image.classes.ravel()) / image.classes.size
        weights = {class_id: (sizes[class_id] + SMOOTHING) ** -self.exponent for class_id in queues}
        chosen: list[int] = []
        while queues and len(chosen) < image.limit:
            names = list(queues)
            chances = np.array([weights[class_id] for class_id in names])
            drawn = names[int(image.rng.choice(len(names), p=chances / chances.sum()))]
            picked = choose_in_order(queues[drawn], free, n=1, radius=image.radius)
            if len(picked):
                chosen.append(int(picked[0]))
            else:
                del queues[drawn]
        drawn_ids = np.array(chosen, dtype=np.int64)
        return fill_by_score(drawn_ids, free, image.scores, n=image.limit, radius=image.radius)

    def _queues(self, image: ScoredImage, free: np.ndarray) -> dict[int, np.ndarray]:
        """Return class id -> ids of its most uncertain free pixels, in a random order.

        Classes without such pixels are left out.
        """
        assert image.classes is not None
        classes, scores = image.classes.ravel(), image.scores.ravel()
        queues = {}
        for class_id in np.flatnonzero(np.bincount(classes) >= self.least_pixels).tolist():
            is_class = classes == class_id
            ids = np.flatnonzero(is_class & free.ravel())
            count = max(image.limit, round(self.share * int(is_class.sum())))
            best = ids[np.argsort(-scores[ids], kind="stable")[:count]]
            if len(best):
                queues[class_id] = image.rng.permutation(best)
        return queues


SMOOTHING = 0.002
"""Added to a class's share, so a class of very few pixels does not take all draws."""

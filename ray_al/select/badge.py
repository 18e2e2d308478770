"""BADGE: k-means++ on gradients of the last layer under the predicted label.

Ash et al., ICLR 2020 (arXiv 1906.03671), algorithm 1. The gradient of a region is (p -
onehot(argmax p)) outer f. The paper scores whole images; here a region is represented by its mean
probabilities and mean feature.
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.kmeans import kmeans_plus_plus
from ray_al.select.rules import CandidateRule
from ray_al.select.space import FeatureSpace


def badge(candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
    """Choose the largest gradient, then draw by squared distance to the nearest gradient chosen.

    Once no gradient is left away from the chosen ones, for instance if all predictions are one-hot,
    the highest keys follow.

    Returns:
        Positions, int64, in order of choice; the first k' are the answer for k'.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    space = FeatureSpace.of(gradient_errors(candidates.probabilities), candidates.features)
    largest = int(space.norms.argmax())
    if space.norms[largest] == 0:
        return fill_by_key([], candidates.keys, k)
    chosen = kmeans_plus_plus(space, k=k, rng=rng, weights=np.ones(len(candidates)), first=largest)
    return fill_by_key(chosen, candidates.keys, k)


def gradient_errors(probabilities: np.ndarray) -> np.ndarray:
    """Return p - onehot(argmax p), float32 (M, C); ties go to the lower class."""
    errors = probabilities.astype(np.float32)
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1
    return errors


class BadgeRule(CandidateRule):
    """Draws by k-means++ on gradients of the last layer."""

    kind: Literal["badge"] = "badge"
    paper: ClassVar[str] = (
        "Ash et al., ICLR 2020 (arXiv 1906.03671): k-means++ on gradients of the last layer"
    )
    needs: ClassVar[str] = "of the best candidates: features and classes"

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `badge` chooses."""
        return badge(candidates, k=k, rng=rng)

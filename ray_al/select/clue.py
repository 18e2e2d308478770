"""CLUE: choose the regions nearest to the centroids of an uncertainty-weighted k-means.

Prabhu et al., ICCV 2021 (arXiv 2010.08666).
"""

from typing import ClassVar, Literal

import numpy as np
from scipy.special import entr

from ray_al.core.section import Number
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.kmeans import kmeans, nearest_rows
from ray_al.select.rules import CandidateRule


def clue(
    candidates: Candidates, *, k: int, rng: np.random.Generator, iterations: int = 10
) -> np.ndarray:
    """Choose one region for each of k centroids of the features.

    Regions are weighted by the entropy of their mean probabilities. Clusters with the largest
    summed entropy come first; if a region was taken by an earlier centroid, the next nearest is
    used. The paper names no order, since it labels all k. If there are fewer distinct features than
    k, the highest keys follow.

    Returns:
        Positions, int64, in order of choice.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    weights = entr(candidates.probabilities.astype(np.float64).clip(0)).sum(axis=1)
    clusters = kmeans(
        candidates.features, num_clusters=k, rng=rng, weights=weights, iterations=iterations
    )
    mass = np.bincount(clusters.assignments, weights=weights, minlength=len(clusters.centroids))
    order = np.argsort(-mass, kind="stable")
    return fill_by_key(
        nearest_rows(candidates.features, clusters.centroids[order]), candidates.keys, k
    )


class ClueRule(CandidateRule):
    """Takes the regions nearest to entropy-weighted centroids."""

    kind: Literal["clue"] = "clue"
    paper: ClassVar[str] = (
        "Prabhu et al., ICCV 2021 (arXiv 2010.08666): nearest to entropy-weighted centroids"
    )
    needs: ClassVar[str] = "of the best candidates: features and classes"
    depends_on_k: ClassVar[bool] = True
    iterations: Number = 10
    """Largest number of passes of k-means."""

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `clue` chooses."""
        return clue(candidates, k=k, rng=rng, iterations=self.iterations)

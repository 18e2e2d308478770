"""Choose, among the most uncertain regions, those nearest to the centres of k clusters.

This is the second step of DropQuery (Gupte et al., TMLR 2024, arXiv 2401.14555, "Revisiting Active
Learning in the Era of Vision Foundation Models") with any score as the first. In the paper, the
candidates are the images whose prediction changes in more than half of the draws of dropout. Scores
of regions are no such yes or no, so here the candidates are the `factor` * k highest. Without a
score and with all regions as candidates, it is that paper's start by centroids.
"""

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.core.section import Number
from ray_al.core.shares import exact
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.components import balanced, principal
from ray_al.select.kmeans import Clusters, kmeans
from ray_al.select.rules import CandidateRule
from ray_al.select.space import ROUNDING

TIE = 1e-3
"""Relative difference below which squared distances, computed in float32, count as equal."""


def centroids(
    candidates: Candidates,
    *,
    k: int,
    rng: np.random.Generator,
    factor: float | None = 10.0,
    components: int = 32,
    iterations: int = 10,
) -> np.ndarray:
    """Choose the region nearest to the centre of each of k clusters, in order of the keys.

    If there are fewer clusters, the highest other keys follow. Among regions equally near to a
    centre, such as the two of a pair, the highest key is taken.

    Args:
        factor: the `factor` * k candidates with the highest keys are clustered; None clusters all.
        components: number of principal components of the standardised features that are compared; 0
            compares all features.

    Returns:
        Positions, int64, in order of choice.
    """
    num = len(candidates)
    if k == 0 or num == 0:
        return np.zeros(0, dtype=np.int64)
    most = num if factor is None else math.ceil(exact(factor) * k)
    among = np.sort(np.argsort(-candidates.keys, kind="stable")[:most])
    points = principal(balanced(candidates.features[among], candidates.groups), components)
    clusters = kmeans(points, num_clusters=k, rng=rng, iterations=iterations)
    order = np.lexsort(
        (-candidates.keys[among], ~_are_nearest(points, clusters), clusters.assignments)
    )
    firsts = np.unique(clusters.assignments[order], return_index=True)[1]
    nearest = among[order[firsts]]
    return fill_by_key(
        nearest[np.lexsort((nearest, -candidates.keys[nearest]))], candidates.keys, k
    )


def _are_nearest(points: np.ndarray, clusters: Clusters) -> np.ndarray:
    """Return whether no other row of the cluster lies nearer to the centre, bool (N,)."""
    apart = points - clusters.centroids[clusters.assignments]
    squared = np.einsum("nd,nd->n", apart, apart)
    least = np.full(len(clusters.centroids), np.inf)
    np.minimum.at(least, clusters.assignments, squared)
    nearest: np.ndarray = squared <= (1 + TIE) * least[clusters.assignments] + ROUNDING * np.einsum(
        "nd,nd->n", points, points
    )
    return nearest


class CentroidsRule(CandidateRule):
    """Takes, among the highest scores, those nearest to the centres of clusters."""

    kind: Literal["centroids"] = "centroids"
    paper: ClassVar[str] = (
        "DropQuery's second step: Gupte et al., TMLR 2024 (arXiv 2401.14555): "
        "of the highest scores those nearest to k-means centres"
    )
    needs: ClassVar[str] = "of the best candidates: features"
    depends_on_k: ClassVar[bool] = True
    factor: Annotated[float, Field(ge=1)] | None = 10.0
    """Number of regions that are clustered, those with the highest scores, as a multiple of the
    query's size; null clusters all `candidates`.
    """
    components: Number = 32
    """Number of principal components of the standardised features that are compared; 0 compares all
    features as they are.
    """
    iterations: Number = 10
    """Largest number of passes of k-means."""

    def num_candidates(self, num_regions: int) -> int:
        """Return how many regions are clustered for a query of `num_regions`."""
        if self.factor is None:
            return self.candidates
        return min(self.candidates, math.ceil(exact(self.factor) * num_regions))

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `centroids` chooses."""
        return centroids(
            candidates,
            k=k,
            rng=rng,
            factor=self.factor,
            components=self.components,
            iterations=self.iterations,
        )

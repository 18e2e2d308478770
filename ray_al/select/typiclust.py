"""TypiClust: choose the most typical regions of the largest clusters without a label.

Hacohen et al., ICML 2022 (arXiv 2202.02794).
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.core.section import Count, Number
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.kmeans import kmeans
from ray_al.select.rules import CandidateRule
from ray_al.select.space import FeatureSpace, centred

NEIGHBOUR_POOL = 4096
"""Number of members of a cluster, evenly spaced, among which neighbours are sought. A cluster of
100,000 would otherwise need 10^10 distances.
"""
BLOCK = 1024


def typiclust(
    candidates: Candidates,
    *,
    k: int,
    rng: np.random.Generator,
    max_clusters: int = 500,
    num_neighbours: int = 20,
    min_size: int = 5,
    iterations: int = 10,
) -> np.ndarray:
    """Cluster candidates and labelled regions together, then visit the clusters in turns.

    There are k + L clusters, at most `max_clusters`. Those with the fewest labelled members come
    first, among equals the larger. Each visit takes the most typical free candidate: the one with
    the smallest mean distance to its nearest `num_neighbours` candidates of the cluster (half of
    the cluster if that is fewer).

    Unlike in the authors' code, typicality is computed once per cluster and not again after each
    choice, and clusters of at most `min_size` members come last instead of never.

    Returns:
        Positions, int64, in order of choice.
    """
    num = len(candidates)
    if k == 0 or num == 0:
        return np.zeros(0, dtype=np.int64)
    features = np.concatenate(centred(candidates.features, candidates.labelled))
    assignments = kmeans(
        features,
        num_clusters=min(k + len(features) - num, max_clusters),
        rng=rng,
        iterations=iterations,
    ).assignments
    sizes, covered = (
        np.bincount(assignments),
        np.bincount(assignments[num:], minlength=assignments.max() + 1),
    )
    clusters = np.lexsort((-sizes, covered, sizes <= min_size))
    members = np.split(
        np.argsort(assignments[:num], kind="stable"),
        np.cumsum(np.bincount(assignments[:num], minlength=len(sizes)))[:-1],
    )

    def by_typicality(cluster: int) -> np.ndarray:
        rows = members[cluster]
        distances = mean_distances(features[rows], num_neighbours)
        return rows[np.argsort(distances, kind="stable")]

    queues: dict[int, np.ndarray] = {}
    chosen: list[int] = []
    for visit in range(num):
        for cluster in clusters:
            if len(chosen) == k:
                return np.array(chosen, dtype=np.int64)
            if visit >= len(members[cluster]):
                continue
            if visit == 0:
                queues[cluster] = by_typicality(cluster)
            chosen.append(int(queues[cluster][visit]))
    return fill_by_key(chosen, candidates.keys, k)


def mean_distances(features: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Return the mean distance of each row to its nearest others, float32 (n,).

    This is 1 / typicality; 0 for a single row.
    """
    num = len(features)
    count = min(num_neighbours, num // 2, NEIGHBOUR_POOL - 1)
    means = np.zeros(num, dtype=np.float32)
    space = FeatureSpace.of(*centred(features))
    pool = np.unique(np.linspace(0, num - 1, min(num, NEIGHBOUR_POOL)).astype(np.int64))
    for start in range(0, num if count else 0, BLOCK):
        rows = np.arange(start, min(start + BLOCK, num))
        squared = space.squared(rows, pool)
        squared[rows[:, None] == pool] = np.inf
        means[rows] = np.sqrt(np.partition(squared, count - 1, axis=1)[:, :count]).mean(axis=1)
    return means


class TypiClustRule(CandidateRule):
    """Takes the most typical regions of the largest clusters without a label."""

    kind: Literal["typiclust"] = "typiclust"
    paper: ClassVar[str] = (
        "Hacohen et al., ICML 2022 (arXiv 2202.02794): most typical of the largest clusters"
    )
    needs: ClassVar[str] = "of the best candidates: features"
    depends_on_k: ClassVar[bool] = True
    clusters: Count = 500
    """Largest number of clusters; there is one for each region of the query and each labelled
    region.
    """
    neighbours: Count = 20
    """Number of nearest regions over which the mean distance is taken; a region is typical where it
    is small.
    """
    min_size: Number = 5
    """Clusters with at most this many members come last."""
    iterations: Number = 10
    """Largest number of passes of k-means."""

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `typiclust` chooses."""
        return typiclust(
            candidates,
            k=k,
            rng=rng,
            max_clusters=self.clusters,
            num_neighbours=self.neighbours,
            min_size=self.min_size,
            iterations=self.iterations,
        )

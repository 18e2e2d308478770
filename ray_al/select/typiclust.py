"""TypiClust: the most typical region of the largest clusters without a label (Hacohen et al., ICML 2022, arXiv 2202.02794)."""

import numpy as np

from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.kmeans import kmeans
from ray_al.select.space import Space, centred

MIN_SIZE = 5
"""Clusters of at most this many members come last."""
NEIGHBOUR_POOL = 4096
"""Members of a cluster, evenly spaced, among which neighbours are sought: a cluster of 100,000 would need 10^10 distances."""
BLOCK = 1024


def typiclust(
    candidates: Candidates, *, k: int, rng: np.random.Generator, max_clusters: int = 500, num_neighbours: int = 20, iterations: int = 10
) -> np.ndarray:
    """Cluster candidates and labelled regions together, then go round the clusters, a region a visit.

    There are k + L clusters, at most `max_clusters`. Those with the fewest labelled members come first, then the larger ones. Each
    visit takes the most typical candidate left: the one of the smallest mean distance to its nearest `num_neighbours` candidates of
    the cluster (half the cluster where that is fewer). Not as the authors' code: typicality is computed once a cluster, not anew
    after each choice, and small clusters come last instead of never.

    Returns:
        Positions, int64, in order of choice.
    """
    num = len(candidates)
    if k == 0 or num == 0:
        return np.zeros(0, dtype=np.int64)
    features = np.concatenate(centred(candidates.features, candidates.labelled))
    labels = kmeans(features, num_clusters=min(k + len(features) - num, max_clusters), rng=rng, iterations=iterations).labels
    sizes, covered = np.bincount(labels), np.bincount(labels[num:], minlength=labels.max() + 1)
    clusters = np.lexsort((-sizes, covered, sizes <= MIN_SIZE))
    members = np.split(np.argsort(labels[:num], kind="stable"), np.cumsum(np.bincount(labels[:num], minlength=len(sizes)))[:-1])
    queues: dict[int, np.ndarray] = {}
    chosen: list[int] = []
    for visit in range(num):
        for cluster in clusters:
            if len(chosen) == k:
                return np.array(chosen, dtype=np.int64)
            if visit < len(members[cluster]):
                if visit == 0:
                    queues[cluster] = members[cluster][np.argsort(mean_distances(features[members[cluster]], num_neighbours), kind="stable")]
                chosen.append(int(queues[cluster][visit]))
    return fill_by_key(chosen, candidates.keys, k)


def mean_distances(features: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Mean distance of each row to its nearest others, float32 (n,): 1 / typicality. 0 for a single row."""
    num = len(features)
    count = min(num_neighbours, num // 2)
    means = np.zeros(num, dtype=np.float32)
    space = Space.of(*centred(features))
    pool = np.unique(np.linspace(0, num - 1, min(num, NEIGHBOUR_POOL)).astype(np.int64))
    for start in range(0, num if count else 0, BLOCK):
        rows = np.arange(start, min(start + BLOCK, num))
        squared = space.squared(rows, pool)
        squared[rows[:, None] == pool] = np.inf
        means[rows] = np.sqrt(np.partition(squared, count - 1, axis=1)[:, :count]).mean(axis=1)
    return means

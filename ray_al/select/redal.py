"""ReDAL: a region is worth less the more of its cluster come before it (Wu et al., ICCV 2021, arXiv 2107.11769, section 3.3)."""

import numpy as np

from ray_al.select.candidates import Candidates
from ray_al.select.kmeans import kmeans


def redal(
    candidates: Candidates, *, k: int, rng: np.random.Generator, num_clusters: int = 400, decay: float = 0.95, iterations: int = 10
) -> np.ndarray:
    """The highest keys after each cluster's n-th best was multiplied by decay^(n - 1).

    This equals taking the highest product again and again, since within a cluster the order stays. Keys below 0 would grow by a
    multiplication, so that all keys are raised until the lowest finite one is 0 if it is below. Not confirmed: the number of
    clusters (400 in D2ADA's version). From its 14,000th best on a cluster's regions tie, as decay^n is no longer a number.

    Returns:
        Positions, int64, in order of choice; the first k' are the answer for k'.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    labels = kmeans(candidates.features, num_clusters=num_clusters, rng=rng, iterations=iterations).labels
    keys = candidates.keys
    keys = keys - min(0.0, float(keys[np.isfinite(keys)].min(initial=0)))
    order = np.lexsort((-keys, labels))
    starts = np.searchsorted(labels[order], labels[order])
    worth = np.empty(len(keys))
    worth[order] = keys[order] * decay ** (np.arange(len(keys)) - starts)
    return np.argsort(-worth, kind="stable")[:k]

"""Choose the highest key of each cluster of standardised features.

Clustering for diversity follows nnActive's k-means BALD. Not confirmed: nnActive oversamples by
score and then draws with k-means++; here the candidates are the oversampling, and each of k
clusters gives one region.
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.core.section import Number
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.kmeans import kmeans
from ray_al.select.rules import CandidateRule


def cluster_best(
    candidates: Candidates, *, k: int, rng: np.random.Generator, iterations: int = 10
) -> np.ndarray:
    """Choose the region with the highest key of each of k clusters, in order of the keys.

    If there are fewer clusters, the highest other keys follow.

    Returns:
        Positions, int64, in order of choice.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    assignments = kmeans(
        standardised(candidates.features), num_clusters=k, rng=rng, iterations=iterations
    ).assignments
    order = np.argsort(-candidates.keys, kind="stable")
    _, firsts = np.unique(assignments[order], return_index=True)
    return fill_by_key(order[np.sort(firsts)], candidates.keys, k)


def standardised(features: np.ndarray) -> np.ndarray:
    """Return features with mean 0 and standard deviation 1, float32; constant ones become 0."""
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    is_constant = (features == features[:1]).all(axis=0)
    return np.where(is_constant, 0, (features - mean) / np.where(is_constant, 1, scale)).astype(
        np.float32
    )


class ClusterBestRule(CandidateRule):
    """Takes the highest score of each of k clusters."""

    kind: Literal["kmeans"] = "kmeans"
    paper: ClassVar[str] = "the highest score of each of k clusters of standardised features"
    needs: ClassVar[str] = "of the best candidates: features"
    depends_on_k: ClassVar[bool] = True
    iterations: Number = 10
    """Largest number of passes of k-means."""

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `cluster_best` chooses."""
        return cluster_best(candidates, k=k, rng=rng, iterations=self.iterations)

"""ReDAL: devalue a region for each region of its cluster that comes before it.

Wu et al., ICCV 2021 (arXiv 2107.11769), section 3.3.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.core.section import Count, Number
from ray_al.select.candidates import Candidates
from ray_al.select.kmeans import kmeans
from ray_al.select.rules import CandidateRule


def redal(
    candidates: Candidates,
    *,
    k: int,
    rng: np.random.Generator,
    num_clusters: int = 400,
    decay: float = 0.95,
    iterations: int = 10,
) -> np.ndarray:
    """Choose the highest keys once the n-th best of each cluster is multiplied by decay^(n - 1).

    This equals repeatedly taking the highest product, since the order within a cluster stays the
    same. The decay would increase negative keys, so keys are shifted until the lowest finite one is
    0 if it is below. From the 14,000th best region of a cluster on, regions tie, since decay^n
    underflows. Not confirmed: the number of clusters (400 in D2ADA's version).

    Returns:
        Positions, int64, in order of choice; the first k' are the answer for k'.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    assignments = kmeans(
        candidates.features, num_clusters=num_clusters, rng=rng, iterations=iterations
    ).assignments
    keys = candidates.keys
    keys = keys - min(0.0, float(keys[np.isfinite(keys)].min(initial=0)))
    order = np.lexsort((-keys, assignments))
    starts = np.searchsorted(assignments[order], assignments[order])
    worth = np.empty(len(keys))
    worth[order] = keys[order] * decay ** (np.arange(len(keys)) - starts)
    return np.argsort(-worth, kind="stable")[:k]


class ReDALRule(CandidateRule):
    """Takes the highest scores, each further region of a cluster counting less."""

    kind: Literal["redal"] = "redal"
    paper: ClassVar[str] = (
        "Wu et al., ICCV 2021 (arXiv 2107.11769): each next region of a cluster counts 0.95 times"
    )
    needs: ClassVar[str] = "of the best candidates: features"
    clusters: Count = 400
    """Number of clusters into which the candidates' features are grouped."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Factor by which each next region of a cluster counts less than the one before it."""
    iterations: Number = 10
    """Largest number of passes of k-means."""

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `redal` chooses."""
        return redal(
            candidates,
            k=k,
            rng=rng,
            num_clusters=self.clusters,
            decay=self.decay,
            iterations=self.iterations,
        )

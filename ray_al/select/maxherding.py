"""MaxHerding: greedily cover the candidates under a kernel (Bae et al., "Generalized Coverage", ECCV 2024, arXiv 2407.12212).

gain(j) = mean_i max(K_ij - cur_i, 0), where cur_i is the largest kernel value between i and what is labelled or chosen.
K_ij = exp(-(d_ij / sigma)^2); not confirmed in the paper: no factor 1/2, as public code of its authors' follow-up has it.
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.core.coverage import greedy_cover
from ray_al.core.section import Count, Positive
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.rules import CandidateRule
from ray_al.select.space import BLOCK, Space, centred


def maxherding(
    candidates: Candidates,
    *,
    k: int,
    rng: np.random.Generator,
    num_points: int = 1024,
    sigma: float | None = None,
) -> np.ndarray:
    """Exact greedy choice by lazy evaluation: a gain only falls, so an old one is an upper bound.

    Args:
        num_points: coverage is measured at this many candidates at most, drawn from `rng` without replacement.
        sigma: kernel width; default: the median distance between two of these points (1 where it is 0).

    Returns:
        Positions, int64, in order of choice; the first k' are the answer for k'. Once all points are covered the rest goes by key.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    num = len(candidates)
    space = Space.of(np.concatenate(centred(candidates.features, candidates.labelled)))
    points = (
        np.sort(rng.choice(num, num_points, replace=False)) if num > num_points else np.arange(num)
    )
    width = sigma or median_distance(space, points)
    covered = np.zeros(len(points), dtype=np.float32)
    for start in range(num, len(space), BLOCK):
        covered = np.maximum(
            covered,
            kernel(space, np.arange(start, min(start + BLOCK, len(space))), points, width).max(
                axis=0
            ),
        )
    values = np.empty((num, len(points)), dtype=np.float32)
    for start in range(0, num, BLOCK):
        values[start : start + BLOCK] = kernel(
            space, slice(start, min(start + BLOCK, num)), points, width
        )
    return fill_by_key(greedy_cover(values, covered, k), candidates.keys, k)


def median_distance(space: Space, points: np.ndarray) -> float:
    """Median distance between two different `points`; 1 where it is 0 or there is one point."""
    if len(points) < 2:
        return 1.0
    squared = space.squared(points, points)[np.triu_indices(len(points), 1)]
    return float(np.sqrt(np.median(squared))) or 1.0


def kernel(space: Space, rows: slice | np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """exp(-(d / sigma)^2), float32 (rows, points)."""
    values = space.squared(rows, points)
    values *= np.float32(-1 / sigma**2)
    np.exp(values, out=values)
    return values


class MaxHerdingRule(CandidateRule):
    """Greedy coverage of the candidates under a kernel."""

    kind: Literal["maxherding"] = "maxherding"
    paper: ClassVar[str] = (
        "Bae et al., ECCV 2024 (arXiv 2407.12212): greedy coverage under a kernel"
    )
    needs: ClassVar[str] = "of the best candidates: features"
    points: Count = 1024
    """Largest number of candidates, drawn at random, at which coverage is measured."""
    width: Positive | None = None
    """Width of the kernel exp(-(d / width)^2), in units of the features; null takes the median
    distance between two of the points.
    """

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        return maxherding(candidates, k=k, rng=rng, num_points=self.points, sigma=self.width)

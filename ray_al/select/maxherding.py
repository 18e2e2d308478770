"""MaxHerding: greedily cover the candidates under a kernel.

Bae et al., "Generalized Coverage", ECCV 2024 (arXiv 2407.12212). gain(j) = mean_i max(K_ij - cur_i,
0), cur_i being the largest kernel value between i and the regions labelled or chosen. K_ij =
exp(-(d_ij / sigma)^2). Not confirmed in the paper: the missing factor 1/2, which public code of the
authors' follow-up leaves out too.
"""

from typing import ClassVar, Literal

import numpy as np

from ray_al.core.coverage import greedy_cover
from ray_al.core.section import Count, Positive
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.rules import CandidateRule
from ray_al.select.space import BLOCK, FeatureSpace, centred


def maxherding(
    candidates: Candidates,
    *,
    k: int,
    rng: np.random.Generator,
    num_points: int = 1024,
    sigma: float | None = None,
) -> np.ndarray:
    """Choose greedily by the gain in coverage.

    Evaluation is lazy and the choice exact: gains only fall, so old ones are upper bounds.

    Args:
        num_points: coverage is measured at this many candidates at most, drawn from `rng` without
            replacement.
        sigma: kernel width; default: the median distance between two of these points (1 if it is
            0).

    Returns:
        Positions, int64, in order of choice; the first k' are the answer for k'. Once all points
        are covered, the highest keys follow.
    """
    if k == 0 or len(candidates) == 0:
        return np.zeros(0, dtype=np.int64)
    num = len(candidates)
    space = FeatureSpace.of(np.concatenate(centred(candidates.features, candidates.labelled)))
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


def median_distance(space: FeatureSpace, points: np.ndarray) -> float:
    """Return the median distance between two different `points`.

    It is 1 if that median is 0 or if there is one point.
    """
    if len(points) < 2:
        return 1.0
    squared = space.squared(points, points)[np.triu_indices(len(points), 1)]
    return float(np.sqrt(np.median(squared))) or 1.0


def kernel(
    space: FeatureSpace, rows: slice | np.ndarray, points: np.ndarray, sigma: float
) -> np.ndarray:
    """Return exp(-(d / sigma)^2), float32 (rows, points)."""
    values = space.squared(rows, points)
    values *= np.float32(-1 / sigma**2)
    np.exp(values, out=values)
    return values


class MaxHerdingRule(CandidateRule):
    """Greedily covers the candidates under a kernel."""

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
        """Return the positions that `maxherding` chooses."""
        return maxherding(candidates, k=k, rng=rng, num_points=self.points, sigma=self.width)

"""Herd over the candidates that images offer, then take the highest keys.

The second stage of Kim et al., NeurIPS 2025 (arXiv 2510.22229), as in the paper's public code
(jn-kim/two-stage-edald): half of the candidates are kept, labelled regions count as covered, and
the kernel is exp(-(d / width)^2) with twice the median distance as its width. If there are too many
candidates for one matrix, they are herded in random blocks. Each block keeps its part, and regions
chosen in other blocks count as covered.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.core.coverage import greedy_cover
from ray_al.core.section import Count, Positive
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.maxherding import kernel, median_distance
from ray_al.select.rules import CandidateRule
from ray_al.select.space import FeatureSpace, centred

MOST_COVERING = 5000
"""Largest number of regions, labelled or chosen in other blocks, that count as covered; if there
are more, this many are drawn.
"""
WIDTH_POINTS = 1024
"""Number of candidates between which the median distance is taken."""


def two_stage(
    candidates: Candidates,
    *,
    k: int,
    rng: np.random.Generator,
    keep: float = 0.5,
    block: int = 2048,
    width_factor: float = 2.0,
) -> np.ndarray:
    """Choose the `k` highest keys among the candidates that herding keeps, then the highest others.

    Args:
        keep: share of the candidates that herding keeps, in (0, 1].
        block: number of candidates that are herded together.
        width_factor: width of the kernel, in median distances.

    Returns:
        Positions, int64; the first k' are the answer for k'.
    """
    num = len(candidates)
    if k == 0 or num == 0:
        return np.zeros(0, dtype=np.int64)
    kept = _herd(candidates, max(1, round(keep * num)), rng, block, width_factor)
    return fill_by_key(kept[np.argsort(-candidates.keys[kept], kind="stable")], candidates.keys, k)


def _herd(
    candidates: Candidates, count: int, rng: np.random.Generator, block: int, width_factor: float
) -> np.ndarray:
    """Return positions that cover all candidates, int64 (count,), ascending."""
    num = len(candidates)
    space = FeatureSpace.of(np.concatenate(centred(candidates.features, candidates.labelled)))
    points = np.sort(rng.choice(num, min(num, WIDTH_POINTS), replace=False))
    width = width_factor * median_distance(space, points)
    labelled = np.arange(num, len(space))
    order = rng.permutation(num)
    edges = np.linspace(0, num, -(-num // block) + 1).astype(np.int64)
    # Running totals are rounded, not the parts: the parts then sum to count.
    shares = np.round(edges * (count / num)).astype(np.int64)
    chosen: list[np.ndarray] = []
    for start, stop, before, after in zip(
        edges[:-1], edges[1:], shares[:-1], shares[1:], strict=True
    ):
        rows = np.sort(order[start:stop])
        covering = np.concatenate([labelled, *chosen])
        if len(covering) > MOST_COVERING:
            covering = np.sort(rng.choice(covering, MOST_COVERING, replace=False))
        picked = greedy_cover(
            kernel(space, rows, rows, width),
            _covered(space, rows, covering, width),
            int(after - before),
        )
        chosen.append(rows[fill_by_key(picked, candidates.keys[rows], int(after - before))])
    return np.sort(np.concatenate(chosen))


def _covered(
    space: FeatureSpace, rows: np.ndarray, covering: np.ndarray, width: float
) -> np.ndarray:
    """Return the largest kernel value to one of `covering`, float32 (rows,); 0 if there is none."""
    if len(covering) == 0:
        return np.zeros(len(rows), dtype=np.float32)
    nearest: np.ndarray = kernel(space, rows, covering, width).max(axis=1)
    return nearest


class TwoStageRule(CandidateRule):
    """Takes the highest scores among the candidates that herding keeps."""

    kind: Literal["two_stage"] = "two_stage"
    paper: ClassVar[str] = (
        "Kim et al., NeurIPS 2025 (arXiv 2510.22229): "
        "herding keeps a part, of which the highest scores"
    )
    needs: ClassVar[str] = "of the best candidates: features"
    keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Part of the candidates that herding keeps; of these the highest scores are chosen."""
    block: Count = 2048
    """Number of candidates that are herded together, which takes a matrix of 4 * block^2 bytes."""
    width_factor: Positive = 2.0
    """Width of the kernel, in median distances."""

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `two_stage` chooses."""
        return two_stage(
            candidates,
            k=k,
            rng=rng,
            keep=self.keep,
            block=self.block,
            width_factor=self.width_factor,
        )

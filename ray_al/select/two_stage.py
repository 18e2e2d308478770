"""The second stage of Kim et al., NeurIPS 2025 (arXiv 2510.22229): herd over what the images offer, then take the highest keys.

Read in the public code of the paper (jn-kim/two-stage-edald): half of the candidates are kept, what
is labelled counts as covered, the kernel is exp(-(d / width)^2) with a width of twice the median
distance, and where the candidates are too many for one matrix they are herded in random blocks,
each block keeping its part, with what other blocks chose counted as covered.
"""

import numpy as np

from ray_al.core.coverage import greedy_cover
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.maxherding import kernel, median_distance
from ray_al.select.space import Space, centred

BLOCK = 2048
"""Candidates that are herded together: a matrix of 16 MiB."""
MOST_COVERING = 5000
"""Regions, labelled or chosen by other blocks, that count as covered; of more, so many are drawn."""
WIDTH_FACTOR = 2.0
"""The kernel's width in median distances."""
WIDTH_POINTS = 1024
"""Candidates between which the median distance is taken."""


def two_stage(candidates: Candidates, *, k: int, rng: np.random.Generator, keep: float = 0.5, block: int = BLOCK) -> np.ndarray:
    """The `k` highest keys among the candidates that herding keeps; where these are fewer, the rest by key.

    Args:
        keep: share of the candidates that herding keeps, in (0, 1].
        block: candidates that are herded together.

    Returns:
        Positions, int64; the first k' are the answer for k'.
    """
    num = len(candidates)
    if k == 0 or num == 0:
        return np.zeros(0, dtype=np.int64)
    kept = _herd(candidates, max(1, round(keep * num)), rng, block)
    return fill_by_key(kept[np.argsort(-candidates.keys[kept], kind="stable")], candidates.keys, k)


def _herd(candidates: Candidates, count: int, rng: np.random.Generator, block: int) -> np.ndarray:
    """Positions that cover all candidates, int64 (count,), ascending."""
    num = len(candidates)
    space = Space.of(np.concatenate(centred(candidates.features, candidates.labelled)))
    points = np.sort(rng.choice(num, min(num, WIDTH_POINTS), replace=False))
    width = WIDTH_FACTOR * median_distance(space, points)
    labelled = np.arange(num, len(space))
    order = rng.permutation(num)
    edges = np.linspace(0, num, -(-num // block) + 1).astype(np.int64)
    shares = np.round(edges * (count / num)).astype(np.int64)  # running totals, so that parts sum to count
    chosen: list[np.ndarray] = []
    for start, stop, before, after in zip(edges[:-1], edges[1:], shares[:-1], shares[1:], strict=True):
        rows = np.sort(order[start:stop])
        covering = np.concatenate([labelled, *chosen])
        if len(covering) > MOST_COVERING:
            covering = np.sort(rng.choice(covering, MOST_COVERING, replace=False))
        picked = greedy_cover(kernel(space, rows, rows, width), _covered(space, rows, covering, width), int(after - before))
        chosen.append(rows[fill_by_key(picked, candidates.keys[rows], int(after - before))])
    return np.sort(np.concatenate(chosen))


def _covered(space: Space, rows: np.ndarray, covering: np.ndarray, width: float) -> np.ndarray:
    """float32 (rows,): the largest kernel value to one of `covering`; 0 where there is none."""
    if len(covering) == 0:
        return np.zeros(len(rows), dtype=np.float32)
    nearest: np.ndarray = kernel(space, rows, covering, width).max(axis=1)
    return nearest

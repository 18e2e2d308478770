"""Greedy coverage under a kernel, the core of MaxHerding.

Bae et al., "Generalized Coverage for More Robust Low-Budget Active Learning", ECCV 2024, arXiv
2407.12212: gain(j) = mean_i max(K_ij - covered_i, 0), with covered_i the largest kernel value
between point i and the points chosen so far.
"""

import numpy as np

FIRST_BATCH = 64
"""Candidates whose gains are computed anew in one step; doubled until one is chosen."""
BLOCK = 4096
"""Rows whose gains are computed together."""


def greedy_cover(values: np.ndarray, covered: np.ndarray, k: int) -> list[int]:
    """Choose rows greedily by their gains, exactly, by lazy evaluation.

    A gain never grows while rows are chosen, so an old gain is an upper bound of the current one.

    Args:
        values: float32 (N, P), the kernel between candidates and points.
        covered: float32 (P,), the largest kernel value of each point before anything is chosen.
        k: largest number of rows to choose.

    Returns:
        Rows in the order of choice, the lower row first in ties; fewer than k once no row has a
        positive gain.
    """
    bounds = np.concatenate(
        [_gains(values[start : start + BLOCK], covered) for start in range(0, len(values), BLOCK)]
    )
    is_fresh = np.ones(len(bounds), dtype=bool)
    batch = FIRST_BATCH
    chosen: list[int] = []
    while len(chosen) < min(k, len(values)):
        best = int(bounds.argmax())
        if bounds[best] <= 0:
            break
        if is_fresh[best]:
            chosen.append(best)
            covered = np.maximum(covered, values[best])
            bounds[best] = -1
            is_fresh[:] = False
            batch = FIRST_BATCH
            continue
        rows = _stale_rows(bounds, is_fresh, batch)
        bounds[rows] = _gains(values[rows], covered)
        is_fresh[rows] = True
        batch *= 2
    return chosen


def _stale_rows(bounds: np.ndarray, is_fresh: np.ndarray, batch: int) -> np.ndarray:
    """Return up to `batch` rows with the largest positive bounds that are not fresh."""
    stale = np.where(is_fresh, -1, bounds)
    if batch >= len(stale):
        return np.flatnonzero(stale > 0)
    rows = np.argpartition(-stale, batch)[:batch]
    return rows[stale[rows] > 0]


def _gains(values: np.ndarray, covered: np.ndarray) -> np.ndarray:
    gains: np.ndarray = np.maximum(values - covered, 0).mean(axis=1)
    return gains

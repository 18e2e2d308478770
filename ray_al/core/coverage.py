"""Greedy coverage under a kernel, the core of MaxHerding (Bae et al., "Generalized Coverage", ECCV 2024, arXiv 2407.12212).

gain(j) = mean_i max(K_ij - covered_i, 0), where covered_i is the largest kernel value between point i and what was chosen.
"""

import numpy as np

FIRST_BATCH = 64
BLOCK = 4096
"""Rows whose gains are computed together."""


def greedy_cover(values: np.ndarray, covered: np.ndarray, k: int) -> list[int]:
    """Exact greedy choice by lazy evaluation: a gain only falls, so an old one is an upper bound.

    Args:
        values: float32 (N, P), the kernel between candidates and points.
        covered: float32 (P,), the largest kernel value of each point before anything is chosen.
        k: how many at most.

    Returns:
        Rows in order of choice, ties to the lower; fewer than k once all points are covered.
    """
    bounds = np.concatenate(
        [_gains(values[start : start + BLOCK], covered) for start in range(0, len(values), BLOCK)]
    )
    is_fresh, batch = np.ones(len(bounds), dtype=bool), FIRST_BATCH
    chosen: list[int] = []
    while len(chosen) < min(k, len(values)):
        best = int(bounds.argmax())
        if bounds[best] <= 0:
            break
        if is_fresh[best]:
            chosen.append(best)
            covered = np.maximum(covered, values[best])
            bounds[best] = -1
            is_fresh[:], batch = False, FIRST_BATCH
            continue
        stale = np.where(is_fresh, -1, bounds)
        rows = (
            np.argpartition(-stale, batch)[:batch] if batch < len(stale) else np.arange(len(stale))
        )
        rows = rows[stale[rows] > 0]
        bounds[rows] = _gains(values[rows], covered)
        is_fresh[rows] = True
        batch *= 2
    return chosen


def _gains(values: np.ndarray, covered: np.ndarray) -> np.ndarray:
    gains: np.ndarray = np.maximum(values - covered, 0).mean(axis=1)
    return gains

"""Paired tests between strategies over the seeds that all of them have."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.compare.stats import (
    mean_ranks,
    paired_effect,
    paired_p,
    penalty_matrix,
    seeds_needed,
)
from ray_al.sweep.curves import aubc

FEW_SEEDS = 5
"""Fewer seeds than these are reported as few."""


@dataclass(frozen=True, kw_only=True)
class PairTest:
    """The test of the areas under the curves of two strategies.

    Attributes:
        difference: mean over seeds of `one` minus `other`; `spread` is its standard deviation.
        p: of the paired t-test, not corrected; None if no test is possible.
        seeds_needed: seeds that find such a difference with 80 % power at the 5 % level.
    """

    one: str
    other: str
    difference: float
    spread: float
    p: float | None
    seeds_needed: int | None


@dataclass(frozen=True, kw_only=True)
class StrategyTests:
    """Tests between all strategies.

    Attributes:
        labels: the strategies, in the order of the other attributes.
        wins: `wins[i][j]` is the share of budgets at which i is significantly better than j.
        num_tests: tests over which Holm's correction is made.
        loss_rate: sum of the column of each strategy in `wins`.
        ranks: mean rank by the area under the curve; 1 is best.
        critical: critical difference of the ranks (Nemenyi, 5 %).
        friedman_p: None if no test is possible.
    """

    labels: tuple[str, ...]
    wins: tuple[tuple[float, ...], ...]
    num_tests: int
    loss_rate: tuple[float, ...]
    ranks: tuple[float, ...]
    critical: float
    friedman_p: float | None
    pairs: tuple[PairTest, ...]


def seeds_warning(num_seeds: int) -> str | None:
    """Return a warning if strategies have too few seeds in common; else None."""
    if num_seeds < 2:
        return (
            f"{num_seeds} seed common to all strategies: no test over seeds is possible; "
            "run at least 3"
        )
    if num_seeds < FEW_SEEDS:
        return (
            f"{num_seeds} seeds are few: a paired test then finds only differences that are large "
            "against their spread. The table of pairs says how many seeds would be needed to find "
            "the difference that was seen, with 80 % power at the 5 % level"
        )
    return None


def run_tests(
    labels: Sequence[str], values: Sequence[np.ndarray], grid: np.ndarray
) -> StrategyTests:
    """Test all pairs of strategies.

    Args:
        values: for each strategy, mIoU of shape (num_seeds, num_budgets), with at least two seeds,
            which are matched.
        grid: the budgets, shape (num_budgets,).
    """
    areas = np.array([[aubc(grid, row) for row in rows] for rows in values])
    penalties, ranks = penalty_matrix(values), mean_ranks(areas.T)
    pairs = [
        _test_pair(labels[i], labels[j], areas[i], areas[j])
        for i, j in itertools.combinations(range(len(labels)), 2)
    ]
    return StrategyTests(
        labels=tuple(labels),
        wins=tuple(tuple(row) for row in penalties.wins.tolist()),
        num_tests=penalties.num_tests,
        loss_rate=tuple(penalties.wins.sum(axis=0).tolist()),
        ranks=tuple(ranks.mean.tolist()),
        critical=ranks.critical,
        friedman_p=_finite(ranks.friedman_p),
        pairs=tuple(pairs),
    )


def _test_pair(one: str, other: str, areas: np.ndarray, other_areas: np.ndarray) -> PairTest:
    difference = areas - other_areas
    return PairTest(
        one=one,
        other=other,
        difference=float(difference.mean()),
        spread=float(difference.std(ddof=1)),
        p=_finite(paired_p(areas, other_areas)),
        seeds_needed=seeds_needed(paired_effect(difference)),
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

"""Statistics over seeds: intervals, paired tests with Holm's correction, ranks, power."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.core.seeding import generator

RESAMPLES = 4000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % bootstrap interval; the ends are None for fewer than two values."""

    mean: float
    low: float | None
    high: float | None


def bootstrap_mean(values: Sequence[float] | np.ndarray) -> Interval:
    """Mean over seeds with the 95 % percentile bootstrap interval (Efron, 1979), from a fixed seed.

    With few seeds the interval is too narrow: of three values there are ten different resamples.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Interval(mean=float(array.mean()), low=None, high=None)
    low, high = np.percentile(array[resamples(len(array))].mean(axis=1), [2.5, 97.5])
    return Interval(mean=float(array.mean()), low=float(low), high=float(high))


def resamples(num_seeds: int) -> np.ndarray:
    """Indices of seeds drawn with replacement, the same at every call; shape (RESAMPLES, num_seeds)."""
    return generator("bootstrap", num_seeds).integers(0, num_seeds, (RESAMPLES, num_seeds))


def paired_p(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of the paired t-test over matched seeds; 1 where all differences are zero, nan below two seeds.

    Where all differences are the same number other than zero, which no test on a few seeds can weigh, nan too.
    """
    return float(
        paired_p_columns(
            np.asarray(one, dtype=np.float64)[:, None], np.asarray(other, dtype=np.float64)[:, None]
        )[0]
    )


def paired_p_columns(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`paired_p` of every column; shapes (num_seeds, n), (num_seeds, n) -> (n,)."""
    from scipy.stats import ttest_rel

    difference = one - other
    p = np.full(difference.shape[1], np.nan)
    p[~difference.any(axis=0)] = 1.0
    varied = np.ptp(difference, axis=0) > 1e-12 * np.abs(difference).max(axis=0)
    if len(difference) < 2:
        return np.full_like(p, np.nan)
    if varied.any():
        p[varied] = ttest_rel(one[:, varied], other[:, varied], axis=0).pvalue
    return p


def t_interval(
    differences: Sequence[float] | np.ndarray, *, level: float = 0.95
) -> tuple[float, float]:
    """Both ends of Student's interval for the mean of at least two paired differences."""
    from scipy.stats import t

    array = np.asarray(differences, dtype=np.float64)
    half = float(t.ppf((1 + level) / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return float(array.mean()) - half, float(array.mean()) + half


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values adjusted by Holm (1979) for all that are not nan; shape as given.

    statsmodels' function of the same result collects the garbage of the whole process on every call: a third of a second here.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted, known = np.full(p.shape, np.nan), ~np.isnan(p)
    ordered = np.sort(p[known])
    steps = np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1)).clip(max=1)
    adjusted[known] = steps[np.searchsorted(ordered, p[known])]
    return adjusted


@dataclass(frozen=True, kw_only=True)
class Penalties:
    """nnActive's pairwise penalty matrix: `wins[i, j]` is the share of budgets at which i is significantly better than j.

    `p` are the p-values (pairs i < j by budgets) before Holm's correction over all of them, `num_tests` how many there were.
    """

    wins: np.ndarray
    p: dict[tuple[int, int], np.ndarray]
    num_tests: int


def penalty_matrix(values: Sequence[np.ndarray], *, alpha: float = 0.05) -> Penalties:
    """Paired tests of every pair of strategies at every budget (nnActive, after BADGE's agg_results.py), corrected by Holm.

    Args:
        values: a strategy each, shape (num_seeds, num_budgets), the seeds matched.
    """
    num, num_budgets = len(values), values[0].shape[1]
    pairs = [(i, j) for i in range(num) for j in range(i + 1, num)]
    p = {(i, j): paired_p_columns(values[i], values[j]) for i, j in pairs}
    adjusted = (
        holm(np.concatenate([p[pair] for pair in pairs])).reshape(len(pairs), num_budgets)
        if pairs
        else np.empty((0, num_budgets))
    )
    wins = np.zeros((num, num))
    for (i, j), significant in zip(pairs, adjusted < alpha, strict=True):
        better = (values[i] - values[j]).mean(axis=0) > 0
        wins[i, j] = (significant & better).mean()
        wins[j, i] = (significant & ~better).mean()
    return Penalties(
        wins=wins, p=p, num_tests=int(sum((~np.isnan(one)).sum() for one in p.values()))
    )


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Mean ranks (1 is best) over matched seeds, the critical difference of Nemenyi's test at 5 %, Friedman's p."""

    mean: np.ndarray
    critical: float
    friedman_p: float


def mean_ranks(scores: np.ndarray) -> Ranks:
    """Ranks of strategies, each seed a block (Demsar, JMLR 2006).

    Args:
        scores: larger is better, shape (num_seeds, num_strategies).
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    num_seeds, num = scores.shape
    ranks = rankdata(-scores, axis=1)
    q = studentized_range.ppf(0.95, num, np.inf) / np.sqrt(2)
    p = float(friedmanchisquare(*scores.T).pvalue) if num > 2 and num_seeds > 1 else float("nan")
    return Ranks(
        mean=ranks.mean(axis=0),
        critical=float(q * np.sqrt(num * (num + 1) / (6 * num_seeds))),
        friedman_p=p,
    )


def power(effect: float, num_seeds: int, *, alpha: float = 0.05) -> float:
    """Chance that the paired t-test finds a true difference of `effect` standard deviations (of the differences)."""
    from statsmodels.stats.power import TTestPower

    return float(TTestPower().power(effect_size=abs(effect), nobs=num_seeds, alpha=alpha))


def seeds_needed(
    effect: float, *, wanted: float = 0.8, alpha: float = 0.05, most: int = 10_000
) -> int | None:
    """Seeds at which the paired t-test finds a difference of `effect` standard deviations with chance `wanted`; None above `most`."""
    if not np.isfinite(effect) or effect == 0:
        return None
    low, high = 2, 2
    while power(effect, high, alpha=alpha) < wanted:
        if high >= most:
            return None
        low, high = (
            high + 1,
            2 * high,
        )  # the power at numbers far beyond the wanted one cannot be computed
    while low < high:
        middle = (low + high) // 2
        if power(effect, middle, alpha=alpha) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low

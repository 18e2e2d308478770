"""Statistics over seeds: intervals, paired tests with Holm's correction, ranks, power.

scipy and statsmodels are imported by the functions that need them: they take two seconds, which an
export and a comparison by costs save."""

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
    """Return the mean over seeds with the 95 % percentile bootstrap interval (Efron, 1979).

    The resamples are the same at every call. With few seeds the interval is too narrow: three
    values have only ten different resamples. `scipy.stats.bootstrap` draws other resamples, and
    those here are shared by the figures of a comparison, which pair seeds with them.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Interval(mean=float(array.mean()), low=None, high=None)
    low, high = np.percentile(array[resamples(len(array))].mean(axis=1), [2.5, 97.5])
    return Interval(mean=float(array.mean()), low=float(low), high=float(high))


def resamples(num_seeds: int) -> np.ndarray:
    """Draw indices of seeds with replacement, the same at every call.

    Returns:
        Shape (RESAMPLES, num_seeds).
    """
    return generator("bootstrap", num_seeds).integers(0, num_seeds, (RESAMPLES, num_seeds))


def paired_p(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Return the two-sided p of the paired t-test over matched seeds.

    It is 1 if all differences are zero. It is nan for fewer than two seeds, and if all differences
    are the same number other than zero, which no test on a few seeds can weigh.
    """
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return float(paired_p_columns(first[:, None], second[:, None])[0])


def paired_p_columns(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return `paired_p` of every column; shapes (num_seeds, n), (num_seeds, n) -> (n,)."""
    from scipy.stats import ttest_rel

    difference = one - other
    p: np.ndarray = np.full(difference.shape[1], np.nan)
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
    """Return both ends of Student's interval for the mean of at least two paired differences."""
    from scipy.stats import t

    array = np.asarray(differences, dtype=np.float64)
    half = float(t.ppf((1 + level) / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return float(array.mean()) - half, float(array.mean()) + half


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm (1979) for all that are not nan; shape as given.

    statsmodels' function with the same result collects the garbage of the whole process at every
    call, which takes a third of a second here.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted: np.ndarray = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    ordered = np.sort(p[known])
    steps = np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1)).clip(max=1)
    adjusted[known] = steps[np.searchsorted(ordered, p[known])]
    return adjusted


@dataclass(frozen=True, kw_only=True)
class Penalties:
    """nnActive's pairwise penalty matrix.

    Attributes:
        wins: `wins[i, j]` is the share of budgets at which i is significantly better than j.
        p: for each pair i < j, the p-values at all budgets before Holm's correction over all tests.
        num_tests: number of these tests.
    """

    wins: np.ndarray
    p: dict[tuple[int, int], np.ndarray]
    num_tests: int


def penalty_matrix(values: Sequence[np.ndarray], *, alpha: float = 0.05) -> Penalties:
    """Test every pair of strategies at every budget, paired over seeds and corrected by Holm.

    This is the matrix of nnActive, after BADGE's agg_results.py.

    Args:
        values: for each strategy, scores of shape (num_seeds, num_budgets), the seeds matched.
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
    num_tests = sum(int((~np.isnan(values)).sum()) for values in p.values())
    return Penalties(wins=wins, p=p, num_tests=num_tests)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Ranks of strategies over matched seeds; 1 is best.

    Attributes:
        mean: of each strategy.
        critical: critical difference of Nemenyi's test at 5 %.
        friedman_p: p of Friedman's test; nan for fewer than three strategies or two seeds.
    """

    mean: np.ndarray
    critical: float
    friedman_p: float


def mean_ranks(scores: np.ndarray) -> Ranks:
    """Rank strategies, with each seed as a block (Demsar, JMLR 2006).

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


def paired_effect(differences: np.ndarray) -> float:
    """Return the mean difference in standard deviations over seeds; nan if all are equal."""
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > 0 else float("nan")


def power(effect: float, num_seeds: int, *, alpha: float = 0.05) -> float:
    """Return the chance that the paired t-test finds a true difference.

    Args:
        effect: the difference, in standard deviations of the differences over seeds.
    """
    from statsmodels.stats.power import TTestPower

    return float(TTestPower().power(effect_size=abs(effect), nobs=num_seeds, alpha=alpha))


def seeds_needed(
    effect: float, *, wanted: float = 0.8, alpha: float = 0.05, most: int = 10_000
) -> int | None:
    """Return the number of seeds at which the paired t-test finds a difference.

    It is found by bisection: `TTestPower.solve_power` does not converge for effects above 5
    standard deviations, which few seeds show often.

    Args:
        effect: the difference, in standard deviations of the differences over seeds.
        wanted: chance with which the difference is found.
        most: number above which the result is None.
    """
    if not np.isfinite(effect) or effect == 0:
        return None
    low, high = 2, 2
    # Doubling from below: the power at numbers far beyond the wanted one cannot be computed.
    while power(effect, high, alpha=alpha) < wanted:
        if high >= most:
            return None
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if power(effect, middle, alpha=alpha) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low

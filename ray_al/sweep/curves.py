"""Learning curves as numbers: area, interpolation, labels saved."""

from collections.abc import Sequence

import numpy as np


def aubc(budgets: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray, *, log: bool = False) -> float:
    """Area under the budget curve, divided by the budget axis' length, so that a constant v gives v.

    A curve of one point gives its value. The trapezoid over the real budgets, not over equal steps.

    Args:
        budgets: increasing, shape (n,).
        values: shape (n,).
        log: take the logarithm of the budgets first.
    """
    x, y = np.asarray(budgets, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if log:
        x = np.log(x)
    if len(x) == 1 or x[-1] == x[0]:
        return float(y[-1])
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def value_at(budgets: np.ndarray, values: np.ndarray, at: np.ndarray | float) -> np.ndarray:
    """The curve at other budgets, linear between its points; nan outside of them."""
    return np.interp(at, budgets, values, left=np.nan, right=np.nan)


def budget_to_reach(budgets: np.ndarray, values: np.ndarray, target: float) -> float:
    """The smallest budget at which the curve reaches `target`, linear between its points; nan where it never does.

    Reached at the first point already: that point's budget, which is then an upper bound.
    """
    reached = np.flatnonzero(values >= target)
    if not len(reached):
        return float("nan")
    index = int(reached[0])
    if index == 0:
        return float(budgets[0])
    low, high = values[index - 1], values[index]
    return float(budgets[index - 1] + (target - low) / (high - low) * (budgets[index] - budgets[index - 1]))


def labels_saved(budgets: np.ndarray, values: np.ndarray, reference_budgets: np.ndarray, reference_values: np.ndarray, target: float) -> float:
    """1 - budget of the strategy / budget of the reference, both at mIoU `target`; nan where one never reaches it."""
    return 1 - budget_to_reach(budgets, values, target) / budget_to_reach(reference_budgets, reference_values, target)

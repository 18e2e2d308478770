"""Learning curves as numbers: area and interpolation."""

from collections.abc import Sequence

import numpy as np


def aubc(
    budgets: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    log: bool = False,
) -> float:
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

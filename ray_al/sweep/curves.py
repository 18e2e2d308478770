"""Area under a learning curve, and its values between its points."""

from collections.abc import Sequence

import numpy as np


def aubc(
    budgets: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    log: bool = False,
) -> float:
    """Return the area under the budget curve, divided by the length of its budget axis.

    A constant curve has its value as area, and so has a curve of one point. The trapezoids are as
    wide as the budgets are apart, not as equal steps.

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
    """Return the curve at other budgets: linear between its points, nan outside of them."""
    return np.asarray(np.interp(at, budgets, values, left=np.nan, right=np.nan))

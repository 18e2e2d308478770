"""Array helpers that numpy lacks."""

import numpy as np


def is_among(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return which values occur in a sorted array, in O(n log m) and without sorting anything.

    `numpy.isin` sorts both arrays at each call, which is too slow for comparing many short arrays
    with one long one.

    Args:
        values: int (n,), in any order.
        ascending: int (m,), sorted.

    Returns:
        bool (n,).
    """
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    nearest = np.searchsorted(ascending, values).clip(max=len(ascending) - 1)
    found: np.ndarray = ascending[nearest] == values
    return found

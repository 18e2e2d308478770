"""Small things that numpy has no word for."""

import numpy as np


def is_among(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Which `values`, int (n,), stand in the sorted `ascending`, int (m,): bool (n,), in O(n log m), without sorting anything.

    `numpy.isin` sorts both at each call, which is too slow where many small parts are compared with one long list.
    """
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    found: np.ndarray = (
        ascending[np.searchsorted(ascending, values).clip(max=len(ascending) - 1)] == values
    )
    return found

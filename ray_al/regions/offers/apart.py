"""Choice of regions of one image in an order of preference, kept apart."""

from collections.abc import Iterable

import numpy as np


def free_pixels(height: int, width: int, *, radius: int, taken: np.ndarray) -> np.ndarray:
    """Return the pixels that are farther than `radius` from all taken ones.

    Args:
        height: of the image, in native pixels.
        width: of the image, in native pixels.
        radius: Chebyshev distance.
        taken: int (t,), ids y * width + x.

    Returns:
        bool (height, width).
    """
    free = np.ones((height, width), dtype=bool)
    for y, x in zip(*np.divmod(taken, width), strict=True):
        _bar(free, y, x, radius)
    return free


def choose_in_order(ids: Iterable[int], free: np.ndarray, *, n: int, radius: int) -> np.ndarray:
    """Return the first `n` ids that are free and farther than `radius` from those before them.

    Args:
        ids: y * width + x, the preferred first.
        free: bool (height, width); pixels that are no longer free are cleared in place.
        n: largest number of ids to return.
        radius: Chebyshev distance.

    Returns:
        int64 (at most n,), in their order.
    """
    chosen: list[int] = []
    width = free.shape[1]
    for region in ids:
        if len(chosen) == n:
            break
        y, x = divmod(int(region), width)
        if free[y, x]:
            chosen.append(int(region))
            _bar(free, y, x, radius)
    return np.array(chosen, dtype=np.int64)


def fill_by_score(
    chosen: np.ndarray, free: np.ndarray, scores: np.ndarray, *, n: int, radius: int
) -> np.ndarray:
    """Return `chosen`, followed by the best regions that are still free, up to `n`.

    Args:
        chosen: int (c,), ids y * width + x, which are no longer free.
        free: bool (height, width); pixels that are no longer free are cleared in place.
        scores: float (height, width).
        n: largest number of ids to return; fewer are returned if no more fit.
        radius: Chebyshev distance.

    Returns:
        int64 (at most n,).
    """
    if len(chosen) >= n:
        return chosen
    order = np.argsort(-scores.ravel(), kind="stable")
    return np.concatenate([chosen, choose_in_order(order, free, n=n - len(chosen), radius=radius)])


def _bar(free: np.ndarray, y: int, x: int, radius: int) -> None:
    """Clear the square around a pixel, in place."""
    free[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = False

"""ASAL's sieve: which pixels of a dominant-labelled region the label is believed for."""

import numpy as np

MIN_PIXELS = 512
"""Native pixels of a region below which ASAL's code believes all of them."""
NUM_POINTS = 20
"""Points that the sorted curve is thinned to, as in the script of ASAL's code; there it stands in for Kneedle's smoothing."""

SENSITIVITY = 1.0
"""Kneedle's S."""


def sieve(p_dominant: np.ndarray) -> np.ndarray:
    """Keep the pixels from the knee of the sorted curve of p(dominant class) upwards: the steep rise below is other classes.

    Source: ASAL (Kim et al., "Adaptive Superpixel for Active Learning in Semantic Segmentation", ICCV 2023). From its code: the curve is
    ascending, thinned from its lowest value on, a concave increasing one to Kneedle with S = 1; a pixel at the knee's value is kept;
    without a knee all are. Smaller regions than `MIN_PIXELS` the caller leaves as they are. Not confirmed: that the paper's
    results used these values; its text was not read.

    Args:
        p_dominant: float (n,), n >= 1, the probability of the region's label at each of its pixels, in [0, 1].

    Returns:
        bool (n,), true at one pixel or more.
    """
    curve = np.sort(p_dominant.astype(np.float64))[:: max(1, len(p_dominant) // NUM_POINTS)]
    knee = find_knee(curve)
    return np.ones(len(p_dominant), dtype=bool) if knee is None else p_dominant >= curve[knee]


def find_knee(curve: np.ndarray) -> int | None:
    """The first knee of a concave increasing curve at equal steps, by Kneedle.

    Source: Satopaa et al., "Finding a Kneedle in a Haystack", ICDCSW 2011, without its smoothing. The curve is scaled to the unit square;
    a local maximum of its height above the diagonal is a knee if the height then falls more than S mean steps below the maximum before
    the next one. After a local minimum it must fall to 0.

    Args:
        curve: float (m,), ascending.

    Returns:
        A position in (0, m - 1), or None where there is no knee.
    """
    if curve[-1] == curve[0]:
        return None
    height = (curve - curve[0]) / (curve[-1] - curve[0]) - np.linspace(0, 1, len(curve))
    knee, threshold = None, 0.0
    for i in range(1, len(curve)):
        if knee is not None and height[i] < threshold:
            return knee
        last = i == len(curve) - 1
        if not last and height[i] > height[i - 1] and height[i] >= height[i + 1]:
            knee, threshold = i, height[i] - SENSITIVITY / (len(curve) - 1)
        elif not last and height[i] < height[i - 1] and height[i] <= height[i + 1]:
            threshold = 0.0
    return None

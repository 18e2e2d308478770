"""ASAL's sieve: choose the pixels of a region for which its dominant label is trusted."""

import numpy as np

MIN_PIXELS = 512
"""Size of a region, in native pixels, below which ASAL's code trusts all of its pixels."""
NUM_POINTS = 20
"""Number of points to which the sorted curve is thinned, as in the script of ASAL's code, where it
replaces Kneedle's smoothing."""

SENSITIVITY = 1.0
"""Kneedle's S."""


def sieve(p_dominant: np.ndarray) -> np.ndarray:
    """Keep the pixels from the knee of the sorted curve of p(dominant class) upwards.

    The steep rise of the curve below its knee consists of pixels of other classes.

    Source: ASAL (Kim et al., "Adaptive Superpixel for Active Learning in Semantic Segmentation",
    ICCV 2023). According to its code, the ascending curve is thinned from its lowest value on and
    given to Kneedle as a concave increasing curve with S = 1. A pixel at the value of the knee is
    kept; without a knee, all pixels are kept. Regions smaller than `MIN_PIXELS` are left alone by
    the caller. Not confirmed: that the paper's results used these values; its text was not read.

    Args:
        p_dominant: float (n,), n >= 1, the probability in [0, 1] of the region's label at each of
            its pixels.

    Returns:
        bool (n,), true for at least one pixel.
    """
    curve = np.sort(p_dominant.astype(np.float64))[:: max(1, len(p_dominant) // NUM_POINTS)]
    knee = find_knee(curve)
    return np.ones(len(p_dominant), dtype=bool) if knee is None else p_dominant >= curve[knee]


def sieve_regions(target: np.ndarray, p: np.ndarray, min_pixels: float) -> np.ndarray:
    """Sieve every region that has one class as its label.

    Args:
        target: int64 (H, W, 2), sets of classes as bits and region numbers from 1.
        p: float32 (C, H, W), class probabilities.
        min_pixels: size in pixels below which a region is left alone.

    Returns:
        A copy of `target` in which the pixels that were sieved out have no label.
    """
    sieved = target.copy()
    bits, regions = target[..., 0], target[..., 1]
    for number in np.unique(regions[bits != 0]):
        inside = regions == number
        classes = int(bits[inside][0])
        if classes.bit_count() != 1 or np.count_nonzero(inside) < min_pixels:
            continue
        keep = inside.copy()
        keep[inside] = sieve(p[classes.bit_length() - 1][inside])
        sieved[inside & ~keep] = 0
    return sieved


def find_knee(curve: np.ndarray) -> int | None:
    """Find the first knee of a concave increasing curve with equal steps by Kneedle.

    Source: Satopaa et al., "Finding a Kneedle in a Haystack", ICDCSW 2011, without its smoothing.
    The curve is scaled to the unit square. A local maximum of its height above the diagonal is a
    knee if the height falls more than S mean steps below the maximum before the next local maximum.
    After a local minimum the height must fall below 0.

    The package kneed (0.9) gives other answers: it accepts the first point of a curve as its knee,
    which here would keep every pixel.

    Args:
        curve: float (m,), ascending.

    Returns:
        A position in (0, m - 1), or None if there is no knee.
    """
    if curve[-1] == curve[0]:
        return None
    height = (curve - curve[0]) / (curve[-1] - curve[0]) - np.linspace(0, 1, len(curve))
    knee: int | None = None
    threshold = 0.0
    for i in range(1, len(curve)):
        if knee is not None and height[i] < threshold:
            return knee
        last = i == len(curve) - 1
        if not last and height[i] > height[i - 1] and height[i] >= height[i + 1]:
            knee = i
            threshold = height[i] - SENSITIVITY / (len(curve) - 1)
        elif not last and height[i] < height[i - 1] and height[i] <= height[i + 1]:
            threshold = 0.0
    return None

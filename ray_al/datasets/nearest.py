"""Masks in the colours of classes whose borders are smooth or lossy: the class of every pixel, and colours that are no mixture of classes."""

import itertools

import numpy as np

NEAR = 64
"""How far, in RGB, a colour may lie from that of a class, or from the line between two that occur, to come from smoothing or compression."""
SURE = 24
"""How far a colour may lie from a class that is certain."""
NUM_ALIKE = 3
"""Of its eight neighbours so many must be of its class for a pixel to be certain: borders between two classes pass by the colour of a third."""
REACH = 7
"""Side, in pixels, of the square in which a pixel of a border looks for certain ones."""
MAX_STRAY_SHARE = 0.001
"""Share of a lossy mask's pixels whose colours may lie anywhere."""


def nearest_numbers(
    packed_HW: np.ndarray, table: tuple[tuple[int, int, int], ...], *, is_lossy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The number of the class of each pixel.

    Certain pixels lie in an area of their class; any other is of that certain class around it whose colour is the nearest.

    Args:
        packed_HW: colours as whole numbers, red << 16 | green << 8 | blue.
        table: a colour a class.
        is_lossy: whether a few pixels may have any colour.

    Returns:
        uint8 (H, W), and bool (H, W): which pixels have another colour than classes and their mixtures.
    """
    from scipy import (
        ndimage,
    )  # takes a quarter of a second, and whoever reads a configuration imports this module

    classes = np.array(table, dtype=np.float64)
    present, inverse = np.unique(packed_HW, return_inverse=True)
    inverse = inverse.reshape(packed_HW.shape)
    points = np.stack([present >> 16, present >> 8 & 255, present & 255], axis=-1).astype(
        np.float64
    )
    squares = ((points[:, None] - classes) ** 2).sum(-1)
    nearest, least = squares.argmin(1).astype(np.uint8), squares.min(1)
    strange = _is_strange(points, least, classes[np.unique(nearest[least <= NEAR**2])])[inverse]
    if is_lossy and strange.mean() <= MAX_STRAY_SHARE:
        strange = np.zeros_like(strange)
    numbers = nearest[inverse]
    certain = _certain(numbers, (least <= SURE**2)[inverse])
    rest = np.flatnonzero(~certain)
    colors, best, distance = (
        inverse.ravel()[rest],
        numbers.ravel()[rest],
        np.full(len(rest), np.inf),
    )
    for number in np.unique(numbers[certain]):
        around = ndimage.maximum_filter(certain & (numbers == number), size=REACH).ravel()[rest]
        nearer = around & (squares[colors, number] < distance)
        best[nearer], distance[nearer] = number, squares[colors[nearer], number]
    numbers.ravel()[rest] = best
    return numbers, strange


def _certain(numbers: np.ndarray, is_near: np.ndarray) -> np.ndarray:
    """bool (H, W): near a class, as are enough of the neighbours."""
    height, width = numbers.shape
    padded = np.pad(
        np.where(is_near, numbers.astype(np.int16), np.int16(-1)), 1, constant_values=-1
    )
    alike = np.zeros(numbers.shape, dtype=np.uint8)
    for row, column in itertools.product(range(3), range(3)):
        if (row, column) != (1, 1):
            alike += padded[row : row + height, column : column + width] == numbers
    return is_near & (alike >= NUM_ALIKE)


def _is_strange(points: np.ndarray, least: np.ndarray, occurring: np.ndarray) -> np.ndarray:
    """bool (N,): whether a colour lies far from every class, and from the lines between those that occur."""
    least = least.copy()
    for first, second in itertools.combinations(occurring, 2):
        line = second - first
        along = np.clip((points - first) @ line / max(1.0, line @ line), 0, 1)
        least = np.minimum(least, ((points - first - along[:, None] * line) ** 2).sum(1))
    return least > NEAR**2

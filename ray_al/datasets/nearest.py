"""Find the classes of masks that are painted in class colours with smooth or lossy borders."""

import itertools
from collections.abc import Sequence

import numpy as np

NEAR = 64
"""Largest distance, in RGB, of a colour that smoothing or compression may have made from that of a
class, or from the line between two classes that occur."""
SURE = 24
"""Largest distance, in RGB, of a colour that certainly is that of a class."""
NUM_ALIKE = 3
"""Number of its eight neighbours that must be of the class of a pixel for it to be certain: the
border between two classes can pass through the colour of a third."""
REACH = 7
"""Side, in pixels, of the square in which a pixel of a border looks for certain ones."""
MAX_STRAY_SHARE = 0.001
"""Largest share of the pixels of a lossy mask that may have any colour."""


def too_alike(
    table: Sequence[tuple[int, int, int]],
) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    """Return two colours that lossy compression can turn into each other; None if none are."""
    for first, second in itertools.combinations(table, 2):
        if (
            sum((one - other) ** 2 for one, other in zip(first, second, strict=True))
            < (2 * SURE) ** 2
        ):
            return first, second
    return None


def nearest_numbers(
    packed_HW: np.ndarray, table: tuple[tuple[int, int, int], ...], *, is_lossy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the class of each pixel.

    Certain pixels lie in an area of their class, or have its very colour in a mask without loss
    where no border between two other classes can have it. Any other pixel takes the class with the
    nearest colour among those of the certain pixels around it.

    Args:
        packed_HW: colours as whole numbers, red << 16 | green << 8 | blue.
        table: one colour per class.
        is_lossy: whether a few pixels may have any colour.

    Returns:
        The numbers, uint8 (H, W), and whether a pixel has a colour that is neither that of a class
        nor a mixture of two, bool (H, W).
    """
    classes = np.array(table, dtype=np.float64)
    present, inverse = np.unique(packed_HW, return_inverse=True)
    inverse = inverse.reshape(packed_HW.shape)
    points = np.stack([present >> 16, present >> 8 & 255, present & 255], axis=-1).astype(
        np.float64
    )
    squares = ((points[:, None] - classes) ** 2).sum(-1)
    nearest, least = squares.argmin(1).astype(np.uint8), squares.min(1)
    occurring = classes[np.unique(nearest[least <= NEAR**2])]
    strange = _is_strange(points, least, occurring)[inverse]
    if is_lossy and strange.mean() <= MAX_STRAY_SHARE:
        strange = np.zeros_like(strange)
    numbers = nearest[inverse]
    certain = _certain(numbers, (least <= SURE**2)[inverse])
    if not is_lossy:
        certain |= ((least == 0) & ~_may_be_border(points, occurring))[inverse]
    _settle_borders(numbers, certain, inverse, squares)
    return numbers, strange


def _settle_borders(
    numbers: np.ndarray, certain: np.ndarray, inverse: np.ndarray, squares: np.ndarray
) -> None:
    """Give each uncertain pixel the nearest of the certain classes around it, in place.

    Args:
        numbers: uint8 (H, W), the number of each pixel; changed.
        certain: bool (H, W).
        inverse: int (H, W), the row of `squares` for each pixel.
        squares: (colours, classes), squared distances.
    """
    # Takes a quarter of a second, and whoever reads a configuration imports this module.
    from scipy import ndimage

    rest = np.flatnonzero(~certain)
    colors, best = inverse.ravel()[rest], numbers.ravel()[rest]
    distance = np.full(len(rest), np.inf)
    for number in np.unique(numbers[certain]):
        around = ndimage.maximum_filter(certain & (numbers == number), size=REACH).ravel()[rest]
        nearer = around & (squares[colors, number] < distance)
        best[nearer] = number
        distance[nearer] = squares[colors[nearer], number]
    np.put(numbers, rest, best)


def _certain(numbers: np.ndarray, is_near: np.ndarray) -> np.ndarray:
    """Return whether a pixel is near a class, as are enough of its neighbours: bool (H, W)."""
    height, width = numbers.shape
    padded = np.pad(
        np.where(is_near, numbers.astype(np.int16), np.int16(-1)), 1, constant_values=-1
    )
    alike = np.zeros(numbers.shape, dtype=np.uint8)
    for row, column in itertools.product(range(3), range(3)):
        if (row, column) != (1, 1):
            alike += padded[row : row + height, column : column + width] == numbers
    return is_near & (alike >= NUM_ALIKE)


def _may_be_border(points: np.ndarray, occurring: np.ndarray) -> np.ndarray:
    """Return whether a colour lies near the line between two other classes that occur: bool (N,).

    Args:
        points: (N, 3), the colours.
        occurring: (K, 3), the colours of the classes that occur.
    """
    may = np.zeros(len(points), dtype=bool)
    for first, second in itertools.combinations(occurring, 2):
        is_other = (points != first).any(1) & (points != second).any(1)
        may |= is_other & (_squares_to_line(points, first, second) <= SURE**2)
    return may


def _squares_to_line(points: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the squared distance of each point (N, 3) to the line from `first` to `second`."""
    line = second - first
    along = np.clip((points - first) @ line / max(1.0, line @ line), 0, 1)
    squares: np.ndarray = ((points - first - along[:, None] * line) ** 2).sum(1)
    return squares


def _is_strange(points: np.ndarray, least: np.ndarray, occurring: np.ndarray) -> np.ndarray:
    """Return whether a colour lies far from all classes and mixtures of two that occur: bool (N,).

    Args:
        points: (N, 3), the colours.
        least: (N,), the squared distance of each to the nearest class.
        occurring: (K, 3), the colours of the classes that occur.
    """
    least = least.copy()
    for first, second in itertools.combinations(occurring, 2):
        least = np.minimum(least, _squares_to_line(points, first, second))
    return least > NEAR**2

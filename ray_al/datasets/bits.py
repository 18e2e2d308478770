"""Sets of class ids as integers: bit c is 1 if a pixel may be of class c; 0 means no label."""

from collections.abc import Iterable

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.core.types import IGNORE_INDEX

MAX_CLASSES = 63
"""Number of bits of an int64 without its sign bit."""


def check_num_classes(num_classes: int, kind: str) -> None:
    """Raise if a bit set cannot hold this many classes.

    Raises:
        ConfigError: with the label kind and the number of classes.
    """
    if num_classes > MAX_CLASSES:
        raise ConfigError(
            f"label.kind={kind} trains on sets of classes, which hold at most {MAX_CLASSES}; "
            f"there are {num_classes}: set label.kind=dense, or merge classes"
        )


def bits_of_ids(ids: np.ndarray) -> np.ndarray:
    """Return the set that holds only its class for each id; 255 gives the empty set, 0.

    Args:
        ids: class ids, uint8 of any shape.

    Returns:
        int64 of the shape of `ids`.

    Raises:
        ConfigError: an id is above 62.
    """
    table = np.zeros(256, dtype=np.int64)
    table[:MAX_CLASSES] = _bit(np.arange(MAX_CLASSES))
    check_num_classes(int(ids.max(initial=0, where=ids != IGNORE_INDEX)) + 1, "dense")
    bits: np.ndarray = table[ids]
    return bits


def fill_bits(mask: np.ndarray, classes: Iterable[int]) -> np.ndarray:
    """Return the set of `classes` at every true element of `mask`, and 0 elsewhere.

    Args:
        mask: bool of any shape.
        classes: class ids.

    Returns:
        int64 of the shape of `mask`.

    Raises:
        ConfigError: a class is above 62.
    """
    ids = np.array(sorted(set(classes)), dtype=np.int64)
    check_num_classes(int(ids.max(initial=0)) + 1, "classes")
    return np.where(mask, np.bitwise_or.reduce(_bit(ids)), 0)


def _bit(classes: np.ndarray) -> np.ndarray:
    bit: np.ndarray = np.left_shift(np.int64(1), classes)
    return bit

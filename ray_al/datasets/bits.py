"""Labels as bit sets: the set of classes that a pixel may have. Bit c stands for class c, 0 for no label."""

from collections.abc import Iterable

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.core.types import IGNORE_INDEX

MAX_CLASSES = 63
"""The bits of an int64 beside its sign."""


def check_num_classes(num_classes: int, kind: str) -> None:
    """Refuse more classes than a bit set holds.

    Raises:
        ConfigError: with the kind and the number.
    """
    if num_classes > MAX_CLASSES:
        raise ConfigError(
            f"label.kind={kind} trains on sets of classes, which hold at most {MAX_CLASSES}; there are {num_classes}: "
            "set label.kind=dense, or merge classes"
        )


def bits_of_ids(ids: np.ndarray) -> np.ndarray:
    """One-element sets, int64, of class ids, uint8 of any shape; 255 becomes the empty set, 0.

    Raises:
        ConfigError: an id above 62.
    """
    table = np.zeros(256, dtype=np.int64)
    table[:MAX_CLASSES] = _bit(np.arange(MAX_CLASSES))
    check_num_classes(int(ids.max(initial=0, where=ids != IGNORE_INDEX)) + 1, "dense")
    return table[ids]


def fill_bits(mask: np.ndarray, classes: Iterable[int]) -> np.ndarray:
    """The set of `classes` where `mask`, bool of any shape, is true, and 0 elsewhere; int64 of the mask's shape.

    Raises:
        ConfigError: a class above 62.
    """
    ids = np.array(sorted(set(classes)), dtype=np.int64)
    check_num_classes(int(ids.max(initial=0)) + 1, "classes")
    return np.where(mask, np.bitwise_or.reduce(_bit(ids)), 0)


def _bit(classes: np.ndarray) -> np.ndarray:
    return np.left_shift(np.int64(1), classes)

"""Decoded arrays, kept while they fit."""

from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class ByteCache:
    """The arrays used last, up to `limit_bytes` in all."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.num_bytes = 0
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def get(self, key: Hashable) -> np.ndarray | None:
        array = self._arrays.get(key)
        if array is not None:
            self._arrays.move_to_end(key)
        return array

    def put(self, key: Hashable, array: np.ndarray) -> None:
        old = self._arrays.pop(key, None)
        self.num_bytes += array.nbytes - (old.nbytes if old is not None else 0)
        self._arrays[key] = array
        while self.num_bytes > self.limit_bytes and self._arrays:
            self.num_bytes -= self._arrays.popitem(last=False)[1].nbytes

"""Decoded arrays, kept while they fit."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class ByteCache:
    """The arrays used last, up to `limit_bytes` in all; any number of threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.num_bytes = 0
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """The array of `key`, None where it is not kept."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Keep an array, in place of those that were used longest ago."""
        with self._lock:
            old = self._arrays.pop(key, None)
            self.num_bytes += array.nbytes - (old.nbytes if old is not None else 0)
            self._arrays[key] = array
            while self.num_bytes > self.limit_bytes and self._arrays:
                self.num_bytes -= self._arrays.popitem(last=False)[1].nbytes

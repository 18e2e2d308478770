"""A cache of decoded arrays with a limit in bytes.

`cachetools.LRUCache(getsizeof=…)` would need the same lock, raises on an array above the limit, and
would be one more dependency for fifteen lines.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class ByteCache:
    """Keeps the most recently used arrays, at most `limit_bytes` in all; threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.num_bytes = 0
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """Return the array of `key`, or None if the cache does not hold it."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Keep an array and drop the least recently used ones that no longer fit.

        An array above the limit is not kept, and drops no other.
        """
        with self._lock:
            old = self._arrays.pop(key, None)
            if old is not None:
                self.num_bytes -= old.nbytes
            if array.nbytes > self.limit_bytes:
                return
            self._arrays[key] = array
            self.num_bytes += array.nbytes
            while self.num_bytes > self.limit_bytes:
                _, dropped = self._arrays.popitem(last=False)
                self.num_bytes -= dropped.nbytes

"""Caches of decoded arrays with one limit in bytes for all of a process.

`cachetools.LRUCache(getsizeof=…)` would need the same lock, raises on an array above the limit, and
would be one more dependency for a few lines.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class Room:
    """Holds the most recently used arrays, at most `limit_bytes` in all; threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.num_bytes = 0
        self._reserved = 0
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """Return the array of `key`, or None if it is not held."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Hold an array and drop the least recently used ones that no longer fit.

        An array above the limit is not held, and drops no other.
        """
        with self._lock:
            old = self._arrays.pop(key, None)
            if old is not None:
                self.num_bytes -= old.nbytes
            if array.nbytes > self._most:
                return
            self._arrays[key] = array
            self.num_bytes += array.nbytes
            self._drop()

    def reserve(self, num_bytes: int) -> None:
        """Leave room for arrays that are held elsewhere, but never more than half of it.

        Whoever decodes a file as large as the limit still has to keep its tiles.
        """
        with self._lock:
            self._reserved = min(num_bytes, self.limit_bytes // 2)
            self._drop()

    @property
    def _most(self) -> int:
        return self.limit_bytes - self._reserved

    def _drop(self) -> None:
        while self.num_bytes > self._most:
            _, dropped = self._arrays.popitem(last=False)
            self.num_bytes -= dropped.nbytes


_held: dict[str, int] = {}
_room = Room(0)
_lock = threading.Lock()


def hold(name: str, num_bytes: int) -> None:
    """Say how many bytes of decoded files a process holds outside its caches.

    Args:
        name: of what is held; a later call with the same name replaces the number.
        num_bytes: all of it; 0 once it is freed.
    """
    with _lock:
        _held[name] = num_bytes
        _room.reserve(sum(_held.values()))


def room_of_process(limit_bytes: int) -> Room:
    """Return the room that the caches of this process share, while they have the same limit."""
    global _room
    with _lock:
        if _room.limit_bytes != limit_bytes:
            _room = Room(limit_bytes)
            _room.reserve(sum(_held.values()))
        return _room


class ByteCache:
    """A cache with keys of its own.

    Args:
        limit_bytes: most bytes that are kept.
        room: which the cache shares with others; None gives it one of its own.
    """

    def __init__(self, limit_bytes: int, room: Room | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.room = Room(limit_bytes) if room is None else room

    @classmethod
    def of_process(cls, limit_bytes: int) -> "ByteCache":
        """Return a new cache that shares the limit with all others of this process."""
        return cls(limit_bytes, room_of_process(limit_bytes))

    @property
    def num_bytes(self) -> int:
        """The size of all arrays in its room."""
        return self.room.num_bytes

    def get(self, key: Hashable) -> np.ndarray | None:
        """Return the array of `key`, or None if the cache does not hold it."""
        return self.room.get((self, key))

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Keep an array; see `Room.put`."""
        self.room.put((self, key), array)

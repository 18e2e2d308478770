"""A store of features: one .npy file per shard, in which each record has a digest."""

import contextlib
import functools
import hashlib
import io
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from ray_al.core.errors import StorageError
from ray_al.core.reading import ABSENT, retried
from ray_al.core.storage import Storage
from ray_al.features.store import RecordStore

logger = logging.getLogger(__name__)
SUFFIX = ".npy"


def row_type(num_values: int) -> np.dtype:
    """Return the type of a row: a SHA-256 of the record and its position, then the record.

    The digest is all zeros if the image could not be used.
    """
    return np.dtype([("digest", "u1", (32,)), ("record", "<u2", (num_values,))])


class ShardFiles(RecordStore):
    """Stores one file per shard with one row per image. Any number of threads may share it.

    On a disk, only the requested rows are read. The file is not mapped into memory: the pages of a
    mapping count as memory of this process, which would grow with the pool. On other storage, a
    file is read as a whole. The digest of a row is checked when this process first reads the row.

    Args:
        root: path or URI of the folder of all files; created when the first file is written.
        limit_bytes: see `RecordStore.limit_bytes`.
    """

    def __init__(self, root: str, limit_bytes: int) -> None:
        self.storage, self.limit_bytes = Storage(root), limit_bytes
        self.is_near = self.storage.is_local
        self._verified: dict[str, int] = {}
        """Shard -> bitmap of the rows whose digests were checked."""
        self._lock = threading.Lock()

    def read(
        self, name: str, rows: Sequence[int], num_values: int
    ) -> list[np.ndarray | None] | None:
        """As `RecordStore.read`."""
        try:
            found = self._rows(name, rows, num_values)
        except ABSENT:
            return None
        except ValueError as error:
            self._drop(name, str(error))
            return None
        for row, value in zip(rows, found, strict=True):
            if not self._is_intact(name, row, value):
                self._drop(name, f"row {row} differs from its digest")
                return None
        return [value["record"] if value["digest"].any() else None for value in found]

    def write(self, name: str, records: np.ndarray, usable: np.ndarray) -> None:
        """As `RecordStore.write`."""
        table = np.zeros(len(records), dtype=row_type(records.shape[1]))
        for row in np.flatnonzero(usable):
            table[row]["record"] = records[row]
            table[row]["digest"] = np.frombuffer(
                _digest(name, int(row), table[row]["record"]), dtype=np.uint8
            )
        buffer = io.BytesIO()
        np.save(buffer, table, allow_pickle=False)
        self.storage.replace(name + SUFFIX, buffer.getvalue())

    def names(self, folder: str) -> set[str]:
        """As `RecordStore.names`."""
        return {
            f"{folder}/{leaf.removesuffix(SUFFIX)}"
            for leaf in self.storage.list(folder)
            if leaf.endswith(SUFFIX)
        }

    def tidy(self) -> None:
        """As `RecordStore.tidy`."""
        self.storage.remove_leftovers()

    def free_bytes(self) -> int | None:
        """As `RecordStore.free_bytes`, measured at the deepest folder that exists."""
        if not self.storage.is_local:
            return None
        folder = self.storage.base
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        return shutil.disk_usage(folder).free

    def _rows(self, name: str, rows: Sequence[int], num_values: int) -> list[np.void]:
        """Read rows without checking their digests.

        Raises:
            FileNotFoundError: the shard does not exist.
            ValueError: the file is truncated or has rows of another type.
        """
        if self.is_near:
            path = self.storage.path(name + SUFFIX)
            return retried(path, lambda: _read_rows(path, rows, num_values), (OSError,))
        data = self.storage.read_if_there(name + SUFFIX)
        if data is None:
            raise FileNotFoundError(name)
        return list(_rows_of(io.BytesIO(data), rows, num_values, len(data)))

    def _is_intact(self, name: str, row: int, value: np.void) -> bool:
        """Return whether a row matches its digest; each row is hashed only once."""
        with self._lock:
            if self._verified.get(name, 0) >> row & 1:
                return True
        if value["digest"].any() and value["digest"].tobytes() != _digest(
            name, row, value["record"]
        ):
            return False
        with self._lock:
            self._verified[name] = self._verified.get(name, 0) | 1 << row
        return True

    def _drop(self, name: str, reason: str) -> None:
        """Remove a damaged file, so the next stage that fills the store computes it again."""
        logger.warning(
            "%s: damaged (%s); its features are computed again",
            self.storage.uri(name + SUFFIX),
            reason,
        )
        with self._lock:
            self._verified.pop(name, None)
        with contextlib.suppress(StorageError):  # without the right to remove it
            self.storage.remove(name + SUFFIX)


def _digest(name: str, row: int, record: np.ndarray) -> bytes:
    """Return the digest of a record and its position.

    The position is included so that a file under the name of another one is detected.
    """
    digest = hashlib.sha256(f"{name} {row} ".encode())
    digest.update(np.ascontiguousarray(record).data)
    return digest.digest()


def _read_rows(path: str, rows: Sequence[int], num_values: int) -> list[np.void]:
    with open(path, "rb") as file:
        return list(_rows_of(file, rows, num_values, os.fstat(file.fileno()).st_size))


def _rows_of(file: BinaryIO, rows: Sequence[int], num_values: int, size: int) -> Iterator[np.void]:
    """Yield rows of an open file of `size` bytes; ValueError as in `ShardFiles._rows`."""
    kind = row_type(num_values)
    head = _head(kind, 0)
    count, rest = divmod(size - len(head), kind.itemsize)
    # Compared, not parsed: on damaged text numpy's parser raises errors of many types.
    if count < 0 or rest or file.read(len(head)) != _head(kind, count):
        raise ValueError(f"its {size} bytes are not a header and rows of {kind.itemsize} bytes")
    for row in rows:
        file.seek(len(head) + row * kind.itemsize)
        data = file.read(kind.itemsize)
        if row >= count or len(data) != kind.itemsize:
            raise ValueError(f"row {row} of {count} is truncated")
        yield np.frombuffer(data, dtype=kind)[0]


@functools.lru_cache(maxsize=64)
def _head(kind: np.dtype, count: int) -> bytes:
    """Return the header of a .npy file of `count` rows; it is padded to the same length for any."""
    buffer = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()

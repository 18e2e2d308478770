"""Shards of features as .npy files, each record with its digest."""

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
    """A row of a file: the SHA-256 of the record and its place, and the record.

    The digest is all zeros where an image could not be used.
    """
    return np.dtype([("digest", "u1", (32,)), ("record", "<u2", (num_values,))])


class ShardFiles(RecordStore):
    """A file a shard, one row an image, below a path or URI; any number of threads may share it.

    On a disk the wanted rows alone are read, without mapping the file: the pages of a mapping would
    count as this process's memory, which then would grow with the pool. From elsewhere a file is
    read as a whole. A row is compared with its digest when this process first reads it.

    Args:
        root: of all files; need not be there yet.
        limit_bytes: as of `RecordStore`.
    """

    def __init__(self, root: str, limit_bytes: int) -> None:
        self.storage, self.limit_bytes = Storage(root), limit_bytes
        self.is_near = self.storage.is_local
        self._verified: dict[str, int] = {}
        """Of each shard a bit for each row that was compared with its digest."""
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
        for row, one in zip(rows, found, strict=True):
            if not self._is_whole(name, row, one):
                self._drop(name, f"row {row} differs from its digest")
                return None
        return [one["record"] if one["digest"].any() else None for one in found]

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
        """As `RecordStore.free_bytes`; of a disk, at the deepest folder that is there."""
        if not self.storage.is_local:
            return None
        folder = self.storage.base
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        return shutil.disk_usage(folder).free

    def _rows(self, name: str, rows: Sequence[int], num_values: int) -> list[np.void]:
        """Rows as they stand.

        Raises:
            FileNotFoundError: there is no such shard.
            ValueError: it is cut, or no file of such rows.
        """
        if self.is_near:
            path = self.storage.path(name + SUFFIX)
            return retried(path, lambda: _read_rows(path, rows, num_values), (OSError,))
        data = self.storage.read_if_there(name + SUFFIX)
        if data is None:
            raise FileNotFoundError(name)
        return list(_rows_of(io.BytesIO(data), rows, num_values, len(data)))

    def _is_whole(self, name: str, row: int, value: np.void) -> bool:
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
        """Remove a damaged file, so that the next stage that fills the store computes it anew."""
        logger.warning(
            "%s: damaged (%s); its features are computed anew",
            self.storage.uri(name + SUFFIX),
            reason,
        )
        with self._lock:
            self._verified.pop(name, None)
        with contextlib.suppress(StorageError):  # whoever may not remove it computes without it
            self.storage.remove(name + SUFFIX)


def _digest(name: str, row: int, record: np.ndarray) -> bytes:
    """Of a record and of where it belongs: a file under the name of another one is damaged too."""
    digest = hashlib.sha256(f"{name} {row} ".encode())
    digest.update(np.ascontiguousarray(record).data)
    return digest.digest()


def _read_rows(path: str, rows: Sequence[int], num_values: int) -> list[np.void]:
    with open(path, "rb") as file:
        return list(_rows_of(file, rows, num_values, os.fstat(file.fileno()).st_size))


def _rows_of(file: BinaryIO, rows: Sequence[int], num_values: int, size: int) -> Iterator[np.void]:
    kind = row_type(num_values)
    head = _head(kind, 0)
    count, rest = divmod(size - len(head), kind.itemsize)
    # The head is compared, not parsed: numpy's parser answers damaged text with errors of many kinds.
    if count < 0 or rest or file.read(len(head)) != _head(kind, count):
        raise ValueError(f"its {size} bytes are no rows of {kind.itemsize} behind their head")
    for row in rows:
        value = np.empty(1, dtype=kind)
        file.seek(len(head) + row * kind.itemsize)
        if row >= count or file.readinto(value.view(np.uint8)) != kind.itemsize:  # type: ignore[attr-defined]
            raise ValueError(f"row {row} of {count} is cut off")
        yield value[0]


@functools.lru_cache(maxsize=64)
def _head(kind: np.dtype, count: int) -> bytes:
    """What numpy writes before `count` rows; it is padded, and as long for any count."""
    buffer = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()

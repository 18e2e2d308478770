"""Files of a run directory: on a disk, or on an object store through fsspec.

A file appears whole or not at all. `create` needs storage that can refuse to overwrite: hard links on a disk,
put-if-none-match on an object store; anything else is refused when the storage is opened.
"""

import os
import secrets
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from ray_al.core.errors import StorageError
from ray_al.core.types import FileRef

EXCLUSIVE_PROTOCOLS = frozenset({"file", "local", "s3", "s3a", "gs", "gcs", "memory"})


def join_uri(root: str, *parts: str) -> str:
    """A path or URI below `root`."""
    return "/".join([root.rstrip("/"), *parts])


class Storage:
    """The files below one root, a local path or an fsspec URI."""

    def __init__(self, root: str) -> None:
        self.root = root if "://" in root else os.path.abspath(root)
        self.fs, self.base = url_to_fs(self.root)
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        if protocol not in EXCLUSIVE_PROTOCOLS:
            known = ", ".join(sorted(EXCLUSIVE_PROTOCOLS))
            raise StorageError(f"run directory {root!r}: {protocol!r} storage cannot refuse to overwrite a file; use one of {known}")
        self.is_local = protocol in ("file", "local")

    def __reduce__(self) -> tuple[Any, ...]:
        return Storage, (self.root,)

    def path(self, name: str = "") -> str:
        return f"{self.base}/{name}" if name else self.base

    def uri(self, name: str) -> str:
        return join_uri(self.root, name)

    def exists(self, name: str = "") -> bool:
        return bool(self.fs.exists(self.path(name)))

    def read(self, name: str) -> bytes:
        try:
            return bytes(self.fs.cat_file(self.path(name)))
        except FileNotFoundError:
            raise StorageError(f"{self.uri(name)}: the file is missing; restore it, then run the command again") from None

    def read_ref(self, ref: FileRef) -> bytes:
        """The content that `ref` names.

        Raises:
            StorageError: the file is missing, or has another size or digest.
        """
        data = self.read(ref.path)
        if FileRef.of(ref.path, data) != ref:
            recorded = f"{ref.size} bytes, sha256 {ref.sha256[:12]}..."
            raise StorageError(f"{self.uri(ref.path)}: {len(data)} bytes that differ from what the ledger recorded ({recorded}); restore the file")
        return data

    def list(self, folder: str) -> list[str]:
        """Names of the files in `folder`, sorted; empty where it does not exist."""
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path(folder)):
            return []
        paths = self.fs.ls(self.path(folder), detail=False)
        return sorted(PurePosixPath(path).name for path in paths)

    def replace(self, name: str, data: bytes) -> None:
        """Write `name`, replacing what is there in one step."""
        if self.is_local:
            temporary = self._write_temporary(name, data)
            os.replace(temporary, self.path(name))
        else:
            self.fs.pipe_file(self.path(name), data)

    def create(self, name: str, data: bytes) -> None:
        """Write `name` if nothing has that name.

        Raises:
            FileExistsError: something has.
        """
        if not self.is_local:
            self.fs.pipe_file(self.path(name), data, mode="create")
            return
        temporary = self._write_temporary(name, data)
        try:
            os.link(temporary, self.path(name))
        finally:
            os.unlink(temporary)
        _sync_folder(os.path.dirname(self.path(name)))

    def put(self, name: str, data: bytes, *, attempt: int) -> FileRef:
        """Write bulk data once, where no other attempt can spoil it.

        The file is `name`; where another attempt left something else there, it goes into the folder `attempt-N` beside it.
        """
        ref = FileRef.of(name, data)
        folder, _, leaf = name.rpartition("/")
        try:
            self.create(name, data)
            return ref
        except FileExistsError:
            if FileRef.of(name, self.read(name)) == ref:
                return ref
        name = f"{folder}/attempt-{attempt}/{leaf}"
        self.replace(name, data)
        return FileRef.of(name, data)

    def remove(self, name: str) -> None:
        if self.exists(name):
            self.fs.rm(self.path(name), recursive=True)

    def _write_temporary(self, name: str, data: bytes) -> str:
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{secrets.token_hex(6)}.tmp")
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_uri(uri: str) -> bytes:
    """The bytes behind a path or fsspec URI."""
    if "://" not in uri:
        with open(uri, "rb") as file:
            return file.read()
    with fsspec.open(uri, "rb") as stream:
        return bytes(stream.read())


def size_of_uri(uri: str) -> int:
    """Bytes of a file, without reading it; -1 where that cannot be told."""
    try:
        if "://" not in uri:
            return os.stat(uri).st_size
        fs, path = url_to_fs(uri)
        return int(fs.info(path)["size"] or 0)
    except OSError:
        return -1

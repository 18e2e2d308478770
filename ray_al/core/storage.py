"""Files of a run directory: on a disk, or on an object store through fsspec.

A file appears whole or not at all. `create` needs storage that can refuse to overwrite: hard links
on a disk, put-if-none-match on an object store. Other storage is refused when it is opened.
"""

import contextlib
import os
import secrets
import tempfile
import time
from pathlib import PurePosixPath
from typing import Literal

import fsspec

from ray_al.core import disk
from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.places import is_status, open_place, protocol_of, storage_errors
from ray_al.core.reading import ABSENT, retried
from ray_al.core.types import FileRef

EXCLUSIVE_PROTOCOLS = frozenset({"file", "local", "s3", "s3a", "gs", "gcs", "memory"})
"""Protocols of storage that can refuse to overwrite a file."""
CONFLICT_WAITS_S = (0.1, 0.3, 1.0, 3.0)
"""Seconds to wait between the tries to write an object that another process writes too."""


def join_uri(root: str, *parts: str) -> str:
    """Return a path or URI below `root`."""
    return "/".join([root.rstrip("/"), *parts])


class Storage:
    """The files below one root.

    Args:
        root: a local path or an fsspec URI.

    Raises:
        StorageError: the place cannot be opened, reached, read or written, in one line. Every
            method may raise it.
    """

    def __init__(self, root: str) -> None:
        self.root = root if "://" in root else os.path.abspath(root)
        self.fs, base = open_place(self.root, protocols=EXCLUSIVE_PROTOCOLS)
        self.base = base.rstrip("/")
        self.is_local = protocol_of(self.root) in ("file", "local")
        if not self.base:
            raise StorageError(f"{root}: names no folder; give one below it")

    def __reduce__(self) -> tuple[type["Storage"], tuple[str]]:
        return Storage, (self.root,)

    def path(self, name: str = "") -> str:
        """Return the path of a file in fsspec's file system."""
        return f"{self.base}/{name}" if name else self.base

    def uri(self, name: str) -> str:
        """Return the path or URI of a file, for messages and for other processes."""
        return join_uri(self.root, name) if name else self.root

    def exists(self, name: str = "") -> bool:
        """Return whether a file or folder exists.

        On an object store, a folder exists while a file is below it.
        """
        path = self.path(name)
        with storage_errors(self.uri(name)):
            if self.is_local:
                return disk.exists(path)
            self.fs.invalidate_cache()
            if not self.fs.exists(path):
                return False
            if not self.fs.isdir(path):
                return True
            # A store may keep a file with an empty name to mark a folder.
            return any(any(files) for _, _, files in self.fs.walk(path))

    def is_file(self, name: str) -> bool:
        """Return whether `name` is a file that can be read to its end.

        A folder, a pipe, a device or a broken link is not.
        """
        return bool(self.fs.isfile(self.path(name)))

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            StorageError: the file is missing.
        """
        data = self.read_if_there(name)
        if data is None:
            raise StorageError(
                f"{self.uri(name)}: the file is missing; restore it, then run the command again"
            )
        return data

    def read_if_there(self, name: str) -> bytes | None:
        """Return the content of a file that others may remove; None if it does not exist."""
        try:
            return retried(self.uri(name), lambda: bytes(self.fs.cat_file(self.path(name))))
        except ABSENT:
            return None

    def read_ref(self, ref: FileRef) -> bytes:
        """Return the content of the file that `ref` names.

        Raises:
            StorageError: the file is missing, or has another size or digest.
        """
        data = self.read(ref.path)
        if FileRef.of(ref.path, data) != ref:
            recorded = f"{ref.size} bytes, sha256 {ref.sha256[:12]}..."
            raise StorageError(
                f"{self.uri(ref.path)}: {len(data)} bytes that differ from what the ledger "
                f"recorded ({recorded}); restore the file"
            )
        return data

    def list(self, folder: str) -> list[str]:
        """Return the names of the files in `folder`, sorted; empty if it does not exist."""
        with storage_errors(self.uri(folder)):
            self.fs.invalidate_cache()
            try:
                paths = self.fs.ls(self.path(folder), detail=False)
            except FileNotFoundError:
                return []
        own = self.path(folder)  # a store may list a folder as a file of its own
        return sorted(PurePosixPath(path).name for path in paths if path.rstrip("/") != own)

    def replace(self, name: str, data: bytes, *, synced: bool = True) -> None:
        """Write `name`, replacing an existing file in one step.

        Args:
            synced: see `disk.write`; object stores always are.
        """
        with storage_errors(self.uri(name)):
            if self.is_local:
                disk.write(self.path(name), data, os.replace, synced=synced)
            else:
                self._put_object(self.path(name), data, mode="overwrite")

    def create(self, name: str, data: bytes) -> None:
        """Write `name` if no file has that name.

        Raises:
            FileExistsError: the name is taken.
        """
        with storage_errors(self.uri(name)):
            self._create(self.path(name), data)

    def create_own(self, name: str, data: bytes) -> None:
        """Create a file whose content nobody else writes, since it holds a random name.

        A store may write a file and lose its answer; its client then tries again and finds the name
        taken. The content shows whose file it is.

        Raises:
            FileExistsError: another file has the name.
        """
        try:
            self.create(name, data)
        except FileExistsError:
            if self.read_if_there(name) != data:
                raise

    def put(self, name: str, data: bytes, *, attempt: int) -> FileRef:
        """Write bulk data once, in a place where no other attempt can spoil it.

        The file is `name`; if another attempt left different data there, it is written to the
        folder `attempt-N` next to it.
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
        """Remove a file, or a folder with everything in it, if it exists.

        Each object is removed by its name: fsspec's `rm` expands patterns, and would remove files
        of other runs too.
        """
        with storage_errors(self.uri(name)):
            if self.is_local:
                disk.remove(self.path(name))
                return
            self.fs.invalidate_cache()
            for path in self.fs.find(self.path(name)):
                with contextlib.suppress(FileNotFoundError):  # another process removed it
                    self.fs.rm_file(path)

    def probe(self) -> None:
        """Check, before work starts, that files can be written here and that none is overwritten.

        A store may ignore the condition of a write, and a client may leave it out; neither raises
        an error.

        Raises:
            StorageError: the check failed; no file of it is left.
        """
        path = self._probe_path()
        with storage_errors(self.root):
            try:
                # Nobody else uses the name: if it is taken, a first answer was lost.
                with contextlib.suppress(FileExistsError):
                    self._create(path, b"1")
                self._create(path, b"2")
            except FileExistsError:
                return
            finally:
                self._remove_probe(path)
        raise StorageError(
            f"{self.root}: this store wrote over a file that it was told not to write over, "
            "so two drivers could spoil a run; use a disk, or a store that heeds If-None-Match, "
            "and of s3fs 2024.12 or newer (`pip install 'ray_al[s3]'`)"
        )

    def remove_leftovers(self) -> None:
        """Remove the temporary files of writers that were killed; those of running ones stay."""
        if not self.is_local:
            return
        with storage_errors(self.root):
            for path in list(disk.find_leftovers(self.base)):
                disk.unlink(path)

    def _create(self, path: str, data: bytes) -> None:
        if self.is_local:
            disk.write(path, data, disk.link)
        else:
            self._put_object(path, data, mode="create")

    def _put_object(self, path: str, data: bytes, *, mode: Literal["create", "overwrite"]) -> None:
        """Put an object, and try again after a conflict of two writers.

        Raises:
            FileExistsError: the name is taken, in whatever words the store says so.
        """
        for wait_s in (*CONFLICT_WAITS_S, None):
            try:
                self.fs.pipe_file(path, data, mode=mode)
                return
            except FileExistsError:
                raise
            except FileNotFoundError as error:
                raise StorageError(
                    f"{self.root}: there is no such bucket ({error}); create it, "
                    "or correct the name"
                ) from error
            except Exception as error:
                if mode == "create" and is_status(error, 412):
                    raise FileExistsError(path) from error
                if wait_s is None or not is_status(error, 409):
                    raise
                time.sleep(wait_s)

    def _probe_path(self) -> str:
        """Return a free path for `probe`.

        It is next to the run directory, as others may look into that for a run; on a disk it is in
        the innermost folder that exists.
        """
        leaf = f"ray_al-probe-{secrets.token_hex(6)}"
        if not self.is_local:
            return f"{self.base}.{leaf}" if "/" in self.base.strip("/") else f"{self.base}/.{leaf}"
        folder = self.base
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        return f"{folder.rstrip('/')}/.{leaf}"

    def _remove_probe(self, path: str) -> None:
        if self.is_local:
            disk.unlink(path)
        elif self.fs.exists(path):
            self.fs.rm_file(path)


def check_writable(place: str, *, key: str) -> None:
    """Refuse a path on this machine's disks at which no folder can be written.

    Places elsewhere are checked when they are opened, except for those that would be lost with this
    process. A URI that lacks a slash would be a path on a disk, which nobody means.

    Args:
        place: the path or URI of the folder.
        key: the setting or option that names it, for the message.

    Raises:
        ConfigError: the folder cannot be made or written.
    """
    protocol, _, rest = place.partition(":/")
    if protocol == "memory":
        raise ConfigError(
            f"{key} {place!r}: what is kept in memory is lost when this process ends; "
            "give a path on a disk, s3:// or gs://"
        )
    if rest.startswith("/"):
        return
    if rest and protocol in fsspec.available_protocols():
        raise ConfigError(
            f"{key} {place!r}: a URI has two slashes; write {protocol}://{rest}, "
            f"or ./{place} for a folder of that name"
        )
    above = os.path.abspath(place)
    try:
        os.stat(above)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{key} {place!r}: no folder can be there ({reason}); give another place"
        ) from None
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        raise ConfigError(f"{key} {place!r}: {above} is not a folder; give another place")
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".ray_al-", dir=above))
    except OSError as error:
        raise ConfigError(
            f"{key} {place!r}: {above} cannot be written ({error.strerror}); "
            "change its permissions, or give another place"
        ) from None

"""Files of a run directory: on a disk, or on an object store through fsspec.

A file appears whole or not at all. `create` needs storage that can refuse to overwrite: hard links on a disk,
put-if-none-match on an object store; anything else is refused when the storage is opened.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import PurePosixPath
from typing import Any

from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.places import is_status, make_folders, open_place, protocol_of, told
from ray_al.core.reading import ABSENT, retried
from ray_al.core.seeding import seed_of
from ray_al.core.types import FileRef

EXCLUSIVE_PROTOCOLS = frozenset({"file", "local", "s3", "s3a", "gs", "gcs", "memory"})
CONFLICT_WAITS_S = (0.1, 0.3, 1.0, 3.0)
LEFTOVER_AGE_S = 24 * 3600.0
"""Of another host's temporary files: far more than a write takes, or than two clocks differ by."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
_TEMPORARY = re.compile(r"\..+\.(?:(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-)?[0-9a-f]{12}\.tmp")


def join_uri(root: str, *parts: str) -> str:
    """A path or URI below `root`."""
    return "/".join([root.rstrip("/"), *parts])


class Storage:
    """The files below one root, a local path or an fsspec URI.

    Raises:
        StorageError: also of every method, in one line: the place cannot be opened, reached, read or written.
    """

    def __init__(self, root: str) -> None:
        self.root = root if "://" in root else os.path.abspath(root)
        self.fs, base = open_place(self.root, protocols=EXCLUSIVE_PROTOCOLS)
        self.base = base.rstrip("/")
        self.is_local = protocol_of(self.root) in ("file", "local")
        if not self.base:
            raise StorageError(f"{root}: names no folder; give one below it")

    def __reduce__(self) -> tuple[Any, ...]:
        return Storage, (self.root,)

    def path(self, name: str = "") -> str:
        return f"{self.base}/{name}" if name else self.base

    def uri(self, name: str) -> str:
        return join_uri(self.root, name) if name else self.root

    def exists(self, name: str = "") -> bool:
        """Whether there is a file, or a folder; on an object store a folder is there while a file is below it."""
        path = self.path(name)
        with told(self.uri(name)):
            if self.is_local:
                return _local_exists(path)
            self.fs.invalidate_cache()
            if not self.fs.exists(path):
                return False
            return not self.fs.isdir(path) or any(
                any(files) for _, _, files in self.fs.walk(path)
            )  # an empty name marks a folder

    def is_file(self, name: str) -> bool:
        """Whether `name` can be read to its end: a folder, a pipe, a device or a broken link cannot."""
        return bool(self.fs.isfile(self.path(name)))

    def read(self, name: str) -> bytes:
        data = self.read_if_there(name)
        if data is None:
            raise StorageError(
                f"{self.uri(name)}: the file is missing; restore it, then run the command again"
            )
        return data

    def read_if_there(self, name: str) -> bytes | None:
        """The content of a file that another process may remove at any moment; None where there is no such file."""
        try:
            return retried(self.uri(name), lambda: bytes(self.fs.cat_file(self.path(name))))
        except ABSENT:
            return None

    def read_ref(self, ref: FileRef) -> bytes:
        """The content that `ref` names.

        Raises:
            StorageError: the file is missing, or has another size or digest.
        """
        data = self.read(ref.path)
        if FileRef.of(ref.path, data) != ref:
            recorded = f"{ref.size} bytes, sha256 {ref.sha256[:12]}..."
            raise StorageError(
                f"{self.uri(ref.path)}: {len(data)} bytes that differ from what the ledger recorded ({recorded}); restore the file"
            )
        return data

    def list(self, folder: str) -> list[str]:
        """Names of the files in `folder`, sorted; empty where it does not exist."""
        with told(self.uri(folder)):
            self.fs.invalidate_cache()
            try:
                paths = self.fs.ls(self.path(folder), detail=False)
            except FileNotFoundError:
                return []
        own = self.path(folder)  # where a store keeps a mark of an empty folder
        return sorted(PurePosixPath(path).name for path in paths if path.rstrip("/") != own)

    def replace(self, name: str, data: bytes) -> None:
        """Write `name`, replacing what is there in one step."""
        with told(self.uri(name)):
            if self.is_local:
                _write_local(self.path(name), data, os.replace)
            else:
                self._put_object(self.path(name), data, mode="overwrite")

    def create(self, name: str, data: bytes) -> None:
        """Write `name` if nothing has that name.

        Raises:
            FileExistsError: something has.
        """
        with told(self.uri(name)):
            self._create(self.path(name), data)

    def create_own(self, name: str, data: bytes) -> None:
        """`create`, of data that nobody else writes: it holds a random name.

        A store may take a file and lose its answer; the client then tries again and is told that the name is taken. What stands there tells
        whose it is.

        Raises:
            FileExistsError: something else has the name.
        """
        try:
            self.create(name, data)
        except FileExistsError:
            if self.read_if_there(name) != data:
                raise

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
        """Remove a file, or a folder with all that is in it; nothing where there is none.

        Each object is removed by its name: fsspec's `rm` expands patterns, and would take other runs' files along.
        """
        with told(self.uri(name)):
            if self.is_local:
                _remove_local(self.path(name))
                return
            self.fs.invalidate_cache()
            for path in self.fs.find(self.path(name)):
                with contextlib.suppress(FileNotFoundError):  # another one removed it
                    self.fs.rm_file(path)

    def probe(self) -> None:
        """Find out, before anything is written, that files can be written here and that none is ever written over.

        A store may ignore the condition of a write, and a client may leave it out; neither raises an error.

        Raises:
            StorageError: naming what is wrong; nothing is left.
        """
        path = self._probe_path()
        with told(self.root):
            try:
                with contextlib.suppress(
                    FileExistsError
                ):  # the name is ours alone: a first answer was lost
                    self._create(path, b"1")
                self._create(path, b"2")
            except FileExistsError:
                return
            finally:
                self._remove_probe(path)
        raise StorageError(
            f"{self.root}: this store wrote over a file that it was told not to write over, so two drivers could spoil a run; use a disk, or a "
            "store that heeds If-None-Match, and of s3fs 2024.12 or newer (`pip install 'ray_al[s3]'`)"
        )

    def remove_leftovers(self) -> None:
        """Remove the temporary files that writers left which were killed; those of a living one stay."""
        if not self.is_local:
            return
        with told(self.root):
            found = [
                os.path.join(folder, name)
                for folder, _, names in os.walk(self.base)
                for name in names
                if _TEMPORARY.fullmatch(name)
            ]
            for path in found:
                if _is_leftover(path):
                    _unlink(path)

    def _create(self, path: str, data: bytes) -> None:
        if self.is_local:
            _write_local(path, data, _link)
        else:
            self._put_object(path, data, mode="create")

    def _put_object(self, path: str, data: bytes, *, mode: str) -> None:
        """Put an object. A store tells in its own words that the name is taken; a conflict of two writers is to be tried again."""
        for wait_s in (*CONFLICT_WAITS_S, None):
            try:
                self.fs.pipe_file(path, data, mode=mode)
                return
            except FileExistsError:
                raise
            except FileNotFoundError as error:
                raise StorageError(
                    f"{self.root}: there is no such bucket ({error}); create it, or correct the name"
                ) from error
            except Exception as error:
                if mode == "create" and is_status(error, 412):
                    raise FileExistsError(path) from error
                if wait_s is None or not is_status(error, 409):
                    raise
                time.sleep(wait_s)

    def _probe_path(self) -> str:
        """Beside a run directory, in which others may look for a run; on a disk in the folder that is there already."""
        leaf = f"ray_al-probe-{secrets.token_hex(6)}"
        if not self.is_local:
            return f"{self.base}.{leaf}" if "/" in self.base.strip("/") else f"{self.base}/.{leaf}"
        folder = self.base
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        return f"{folder.rstrip('/')}/.{leaf}"

    def _remove_probe(self, path: str) -> None:
        if self.is_local:
            _unlink(path)
        elif self.fs.exists(path):
            self.fs.rm_file(path)


def _local_exists(path: str) -> bool:
    """Unlike `os.path.exists`, does not call a folder missing that may not be looked into."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _write_local(path: str, data: bytes, place: Any) -> None:
    """Write a temporary file, synced, and have `place` (temporary, path) give it its name; nothing of it stays if that fails."""
    folder, leaf = os.path.split(path)
    make_folders(folder)
    temporary = os.path.join(folder, f".{leaf}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place(temporary, path)
    finally:
        _unlink(temporary)
    _sync_folder(folder)


def _link(temporary: str, path: str) -> None:
    """Give a file its second name, which fails where the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise StorageError(
            f"{path}: this disk has no hard links ({error.strerror}), without which it cannot refuse to overwrite a file; give a place on another one"
        ) from error


def _remove_local(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        _unlink(path)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _host() -> str:
    """This host in a file's name."""
    return f"{seed_of(socket.gethostname()):016x}"[-8:]


def _is_leftover(path: str) -> bool:
    """Whether nobody writes a temporary file any more: its process is gone, or its last byte is older than any write takes."""
    import psutil

    match = _TEMPORARY.fullmatch(os.path.basename(path))
    if match is not None and match["host"] == _host():
        return not psutil.pid_exists(int(match["pid"]))
    try:
        return time.time() - os.stat(path).st_mtime > LEFTOVER_AGE_S
    except FileNotFoundError:
        return False


def check_writable(place: str, *, key: str) -> None:
    """Whether a folder can be written at a path of this machine's disks; places elsewhere tell when they are opened.

    Raises:
        ConfigError: with `key`, what names the place.
    """
    if "://" in place:
        return
    above = os.path.abspath(place)
    try:
        os.stat(above)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{key} {place!r}: no folder can be there ({getattr(error, 'strerror', None) or error}); give another place"
        ) from None
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        raise ConfigError(f"{key} {place!r}: {above} is no folder; give another place")
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".ray_al-", dir=above))
    except OSError as error:
        raise ConfigError(
            f"{key} {place!r}: {above} cannot be written ({error.strerror}); change its permissions, or give another place"
        ) from None

"""Files on a local disk: written whole, synced, and never overwritten unless that is asked for."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator

from ray_al.core.errors import StorageError
from ray_al.core.places import make_folders
from ray_al.core.process import process_space
from ray_al.core.seeding import seed_of

LEFTOVER_AGE_S = 24 * 3600.0
"""Age at which a temporary file of another host counts as abandoned.

It is far longer than a write takes, and than the difference between two hosts' clocks.
"""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
_TEMPORARY = re.compile(r"\..+\.(?:(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-)?[0-9a-f]{12}\.tmp")


def exists(path: str) -> bool:
    """Return whether a file or folder exists.

    Unlike `os.path.exists`, it does not call a folder missing that may not be looked into.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def write(
    path: str, data: bytes, place: Callable[[str, str], None], *, synced: bool = True
) -> None:
    """Write a file that appears whole or not at all.

    Args:
        path: the file.
        data: its content.
        place: gives the temporary file its name, called with both paths: `os.replace`, or `link`,
            which fails if the name is taken.
        synced: whether the file must outlive a crash of the machine. If not, an earlier version or
            an empty file may be there afterwards, and nothing waits for the disk.
    """
    folder, leaf = os.path.split(path)
    make_folders(folder)
    temporary = os.path.join(folder, f".{leaf}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        place(temporary, path)
    finally:
        unlink(temporary)
    if synced:
        _sync_folder(folder)


def link(temporary: str, path: str) -> None:
    """Give a file a second name.

    Raises:
        FileExistsError: the name is taken.
        StorageError: the disk has no hard links.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise StorageError(
            f"{path}: this disk has no hard links ({error.strerror}), without which it cannot "
            "refuse to overwrite a file; give a place on another one"
        ) from error


def remove(path: str) -> None:
    """Remove a file, or a folder with everything in it."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        unlink(path)


def unlink(path: str) -> None:
    """Remove a file if it exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _host() -> str:
    """Return eight hexadecimal digits for this host and its space of process numbers.

    Containers of one machine may share the host's name and number their processes separately.
    """
    return f"{seed_of(socket.gethostname(), process_space()):016x}"[-8:]


def find_leftovers(folder: str) -> Iterator[str]:
    """Yield the temporary files below a folder that no process writes any more."""
    for inner, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(inner, name)
            if _TEMPORARY.fullmatch(name) and _is_leftover(path):
                yield path


def _is_leftover(path: str) -> bool:
    """Return whether the writer of a temporary file is gone.

    Its process number answers that on this host, the age of the last change on others.
    """
    import psutil  # takes time to import, and only a resumed run needs it

    match = _TEMPORARY.fullmatch(os.path.basename(path))
    if match is not None and match["host"] == _host():
        return not psutil.pid_exists(int(match["pid"]))
    try:
        return time.time() - os.stat(path).st_mtime > LEFTOVER_AGE_S
    except FileNotFoundError:
        return False

"""Reading files: what is missing is told apart from what could not be read just now, which is tried again before it ends a run."""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from ray_al.core.errors import ConfigError, ReadError, StorageError
from ray_al.core.places import open_place

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

READ_WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""Waits between the tries to read a file."""

ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Sure answers of a disk or store: there is no such file."""


def retried(
    source: str, read: Callable[[], Result], faults: tuple[type[Exception], ...] = (Exception,)
) -> Result:
    """What `read` returns; it is called again after each wait of `READ_WAITS_S` where it fails for another reason than a missing file.

    Args:
        source: the path or URI, for the message.
        faults: exceptions that mean "not just now"; by default all, as the clients of stores raise kinds of their own beside OSError.

    Raises:
        FileNotFoundError, NotADirectoryError, IsADirectoryError: there is no such file.
        ReadError: every try failed.
    """
    for wait in (*READ_WAITS_S, None):
        try:
            return read()
        except ABSENT:
            raise
        except faults as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
            if wait is None:
                raise ReadError(
                    f"{source}: could not be read, in {len(READ_WAITS_S) + 1} tries ({reason}). This says nothing about the file itself, so nothing "
                    "is left out; see to the disk, the network or the credentials, then run the command again (a run: `ray-al resume`)"
                ) from None
            logger.warning(
                "%s: could not be read (%s); trying again in %.1f s", source, reason, wait
            )
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def read_uri(uri: str) -> bytes:
    """The bytes behind a path or fsspec URI.

    Raises:
        FileNotFoundError, NotADirectoryError, IsADirectoryError: there is no such file.
        ReadError: it could not be read just now.
        StorageError: its protocol is unknown, or a package for it is missing.
    """
    if "://" not in uri:
        return retried(uri, lambda: _read_path(uri))
    fs, path = open_place(uri)

    def fetch() -> bytes:
        try:
            return bytes(fs.cat_file(path))
        except FileNotFoundError:  # perhaps by a listing of before, which is no answer of the store
            fs.invalidate_cache()
            return bytes(fs.cat_file(path))

    return retried(uri, fetch)


def read_digest(uri: str, *, key: str) -> str:
    """The SHA-256 of the file behind a path or URI, in hexadecimal digits.

    Raises:
        ConfigError: it cannot be read; with `key`, the setting that names it.
    """
    try:
        return hashlib.sha256(read_uri(uri)).hexdigest()
    except ABSENT:
        raise ConfigError(f"{key} {uri!r}: no such file; give the place of the file") from None
    except StorageError as error:
        raise ConfigError(f"{key} {uri!r}: {error}") from None


def size_of_uri(uri: str) -> int:
    """Bytes of a file, without reading it; -1 where there is none.

    Raises:
        ReadError: it could not be asked for just now.
    """
    try:
        if "://" not in uri:
            return retried(uri, lambda: os.stat(uri).st_size)
        fs, path = open_place(uri)
        return retried(uri, lambda: int(fs.info(path)["size"] or 0))
    except ABSENT:
        return -1


def stamp_of_uri(uri: str) -> str:
    """What changes when a file is replaced: its size and what its disk or store says of its content or last change; empty where there is none.

    Raises:
        ReadError: it could not be asked for just now.
    """
    try:
        if "://" not in uri:
            stat = retried(uri, lambda: os.stat(uri))
            return f"{stat.st_size} {stat.st_mtime_ns}"
        fs, path = open_place(uri)
        info = retried(uri, lambda: fs.info(path))
    except ABSENT:
        return ""
    return f"{info.get('size')} {next((info[key] for key in _MARKS if info.get(key)), '')}"


_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "generation",
    "LastModified",
    "updated",
    "last_modified",
    "mtime",
    "created",
)
"""What file systems of fsspec call a digest of an object, or the time of its last change; digests come first."""


def _read_path(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise FileNotFoundError(
            error.errno, error.strerror, path
        ) from None  # no disk holds a file of such a name

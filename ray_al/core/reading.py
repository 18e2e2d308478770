"""Reading of files from disks and stores.

A missing file is distinguished from one that could not be read just now, which is tried again
before it ends a run.
"""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ray_al.core.errors import ConfigError, ReadError, StorageError
from ray_al.core.places import open_place

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

READ_WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait between the tries to read a file."""

ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Certain answers of a disk or store that a file does not exist."""


def retried(
    source: str, read: Callable[[], Result], faults: tuple[type[Exception], ...] = (Exception,)
) -> Result:
    """Return the result of `read`, which is called again after each wait of `READ_WAITS_S`.

    A missing file is not tried again.

    Args:
        source: the path or URI, for the message.
        read: reads the file.
        faults: exceptions that mean "not just now"; by default all, as the clients of stores raise
            their own in addition to OSError.

    Raises:
        FileNotFoundError, NotADirectoryError, IsADirectoryError: the file does not exist.
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
                    f"{source}: could not be read, in {len(READ_WAITS_S) + 1} tries ({reason}). "
                    "This says nothing about the file itself, so nothing is left out; "
                    "see to the disk, the network or the credentials, "
                    "then run the command again (a run: `ray-al resume`)"
                ) from None
            logger.warning(
                "%s: could not be read (%s); trying again in %.1f s", source, reason, wait
            )
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def read_uri(uri: str) -> bytes:
    """Return the content of the file at a path or fsspec URI.

    Raises:
        FileNotFoundError, NotADirectoryError, IsADirectoryError: the file does not exist.
        ReadError: it could not be read just now.
        StorageError: its protocol is unknown, or a package for it is missing.
    """
    if "://" not in uri:
        return retried(uri, lambda: _read_path(uri))
    fs, path = open_place(uri)

    def fetch() -> bytes:
        try:
            return bytes(fs.cat_file(path))
        except FileNotFoundError:  # perhaps according to an old listing, not to the store
            fs.invalidate_cache()
            return bytes(fs.cat_file(path))

    return retried(uri, fetch)


def read_digest(uri: str, *, key: str) -> str:
    """Return the SHA-256 of the file at a path or URI, in hexadecimal digits.

    Args:
        uri: the path or URI.
        key: the setting that names it, for the message.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return hashlib.sha256(read_uri(uri)).hexdigest()
    except ABSENT:
        raise ConfigError(f"{key} {uri!r}: no such file; give the place of the file") from None
    except StorageError as error:
        raise ConfigError(f"{key} {uri!r}: {error}") from None


def size_of_uri(uri: str) -> int:
    """Return the size of a file in bytes, without reading it; -1 if it does not exist.

    Raises:
        ReadError: the size could not be read just now.
    """
    try:
        if "://" not in uri:
            return retried(uri, lambda: _stat(uri).st_size)
        fs, path = open_place(uri)
        return retried(uri, lambda: int(fs.info(path)["size"] or 0))
    except ABSENT:
        return -1


def stamp_of_uri(uri: str) -> str:
    """Return a text that changes when a file is replaced; empty if the file does not exist.

    It holds the size and a digest of the content or the time of the last change, whichever the disk
    or store knows.

    Raises:
        ReadError: these could not be read just now.
    """
    try:
        if "://" not in uri:
            stat = retried(uri, lambda: _stat(uri))
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
"""Names that file systems of fsspec use for an object's digest or last change, digests first."""


def _read_path(path: str) -> bytes:
    with _absent_names(path), open(path, "rb") as file:
        return file.read()


def _stat(path: str) -> os.stat_result:
    with _absent_names(path):
        return os.stat(path)


@contextmanager
def _absent_names(path: str) -> Iterator[None]:
    """Turn the errors over names under which no disk holds a file into FileNotFoundError."""
    try:
        yield
    except OSError as error:
        # The second one: links that lead round in a circle.
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        raise FileNotFoundError(error.errno, error.strerror, path) from None

"""Places, which are local paths and fsspec URIs: opening them, and explaining their errors."""

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import fsspec
from fsspec.archive import AbstractArchiveFileSystem

from ray_al.core.errors import ConfigError, RayALError, StorageError, StoreUnavailableError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol -> the extra of this package that installs its client."""

_CREDENTIALS = (
    "give credentials that may read and write there (of S3: AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL); every node needs them"
)
_MAKE_SPACE = "make space, then run the command again (`ray-al resume` continues a run)"
_PERMISSION = (
    "permission is denied",
    "give another place, or change who may read and write there",
)
_DISK = {
    errno.ENOSPC: ("no space is left there", _MAKE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", _MAKE_SPACE),
    errno.EROFS: ("the file system is read-only", "give another place, or mount it for writing"),
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.ENOENT: ("there is no such file or folder", "correct the name, or give another place"),
    errno.ENOTDIR: ("a part of the path is not a folder", "give another place"),
    errno.EISDIR: ("it is a folder, a file was expected", "give another place"),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.ELOOP: ("its links lead round in a circle", "give another place"),
}
"""Error number of a disk -> (what happened, remedy)."""
_UNREACHABLE = frozenset({
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
    "ConnectionError", "ClientConnectorError", "ServerDisconnectedError", "ServiceRequestError",
    "ServiceResponseError", "TransportError", "HTTPClientError", "gaierror",
})  # fmt: skip
"""Exception classes of clients whose store cannot be reached."""
_NO_CREDENTIALS = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
    "TokenRetrievalError", "SSOError", "ProfileNotFound", "NoAuthTokenError",
    "DefaultCredentialsError", "RefreshError", "ClientAuthenticationError",
})  # fmt: skip
"""Exception classes of clients that have no credentials."""
_STORE_CODES = frozenset({"NoSuchBucket", "ContainerNotFound"})
RETRIED_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504})
"""HTTP statuses of a store that may answer later."""
_KNOWN_PLACES = "give a path on a disk, s3:// or gs://"
_ARCHIVE_REMEDY = "copy or unpack the files, and give the place where they lie"


def open_place(place: str, *, protocols: frozenset[str] | None = None) -> tuple[Any, str]:
    """Return fsspec's file system of a place, and the path in it.

    Names are taken literally: fsspec's own `open` and `url_to_fs` would read `::` as a chain of
    file systems, and `*`, `?` and `[` as patterns.

    Args:
        place: a path or URI.
        protocols: those that are allowed; None allows all.

    Raises:
        StorageError: the protocol is unknown or not allowed, its package is missing, or it cannot
            be opened from a URI.
    """
    protocol = protocol_of(place)
    if protocols is not None and protocol not in protocols:
        if "::" not in protocol and protocol not in fsspec.available_protocols():
            raise _unknown(place, protocol)
        raise StorageError(
            f"{place}: {protocol!r} storage cannot refuse to overwrite a file; {_KNOWN_PLACES}"
        )
    if "::" in protocol:
        raise StorageError(
            f"{place}: chains of file systems (::) are not supported; {_ARCHIVE_REMEDY}"
        )
    try:
        return _open(place, protocol)
    except StorageError:
        raise
    except ImportError as error:
        raise _package_missing(error, place, protocol) from None
    except (TypeError, ValueError) as error:
        if "not known" in str(error):
            raise _unknown(place, protocol) from None
        raise StorageError(
            f"{place}: {protocol}:// cannot be opened from a URI alone; {_ARCHIVE_REMEDY}"
        ) from None
    except Exception as error:  # a client that asks for credentials as soon as it is made
        raise storage_error(error, place) from error


def _unknown(place: str, protocol: str) -> StorageError:
    return StorageError(f"{place}: unknown protocol {protocol!r}; {_KNOWN_PLACES}")


def _open(place: str, protocol: str) -> tuple[Any, str]:
    kind = fsspec.get_filesystem_class(protocol)
    if issubclass(kind, AbstractArchiveFileSystem):
        raise StorageError(f"{place}: archives are not supported; {_ARCHIVE_REMEDY}")
    path = str(kind._strip_protocol(place))
    if protocol == "memory":  # it roots paths only if they do not hold `::`
        path = f"/{path.strip('/')}"
    if protocol in ("gs", "gcs"):
        # It logs tracebacks of what it also raises, and what is raised is told in one message.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    return kind(**kind._get_kwargs_from_urls(place)), path


def _package_missing(error: ImportError, place: str, protocol: str) -> StorageError:
    text = " ".join(str(error).split())
    remedy = (
        f"pip install 'ray_al[{EXTRAS[protocol]}]'"
        if protocol in EXTRAS
        else "install that package"
    )
    return StorageError(
        f"{place}: a package for {protocol}:// is missing on {socket.gethostname()} ({text}); "
        f"{remedy}"
    )


def protocol_of(place: str) -> str:
    """Return the protocol of a URI; `file` for a local path."""
    return place.split("://", 1)[0] if "://" in place else "file"


def is_folder(place: str) -> bool:
    """Return whether a folder exists at a place.

    Raises:
        StorageError: the store cannot be reached or refuses access.
    """
    fs, path = open_place(place)
    with storage_errors(place):
        try:
            fs.info(path)
        except FileNotFoundError as error:
            if _kinds(error) & _UNREACHABLE:
                raise StoreUnavailableError(_unreachable(place, error)) from error
            return False
        return bool(fs.isdir(path))


def make_folders(path: str) -> None:
    """Make a local folder and those above it.

    Raises:
        NotADirectoryError: a file is in the way. FileExistsError would be wrong: callers read it as
            the answer that the name they asked for is taken.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None


@contextlib.contextmanager
def storage_errors(place: str, *, missing: bool = False) -> Iterator[None]:
    """Turn exceptions that a store's client raises in the block into a StorageError of one line.

    FileExistsError passes, as it is an answer; so do exceptions that show a fault of our own code.

    Args:
        place: the path or URI, for the message.
        missing: whether FileNotFoundError passes too, unless the whole bucket is missing.
    """
    try:
        yield
    except (RayALError, FileExistsError):
        raise
    except Exception as error:
        if missing and isinstance(error, FileNotFoundError) and not _codes(error) & _STORE_CODES:
            raise
        if type(error).__module__ == "builtins" and not isinstance(
            error, OSError | ValueError | ImportError
        ):
            raise
        raise storage_error(error, place) from error


@contextlib.contextmanager
def before_work(field: str = "") -> Iterator[None]:
    """Turn a StorageError inside the block into a ConfigError.

    Before any work starts, storage that cannot be used is wrong use (exit code 2).

    Args:
        field: the setting or option that names the place; empty if the message names it.
    """
    try:
        yield
    except StorageError as error:
        raise ConfigError(f"{field}: {error}" if field else str(error)) from error


def storage_error(error: BaseException, place: str) -> StorageError:
    """Return an error that explains an exception of a store or disk in one line.

    The message gives the place, what happened and what to do.
    """
    kinds = _kinds(error)
    statuses = (http_status(cause) for cause in _causes(error))
    status = next((found for found in statuses if found is not None), None)
    number = error.errno if isinstance(error, OSError) else None
    if kinds & _NO_CREDENTIALS:
        return StorageError(
            f"{place}: no usable credentials on {socket.gethostname()} ({_text(error)}); "
            f"{_CREDENTIALS}"
        )
    if _codes(error) & _STORE_CODES:
        return StorageError(
            f"{place}: there is no such bucket ({_text(error)}); create it, or correct the name"
        )
    if status in (401, 403) or (isinstance(error, PermissionError) and number is None):
        return StorageError(f"{place}: the store refuses access ({_text(error)}); {_CREDENTIALS}")
    if status in RETRIED_STATUS:
        return StoreUnavailableError(
            f"{place}: the store answers {status} ({_text(error)}); continue when it answers again"
        )
    if kinds & _UNREACHABLE or isinstance(error, TimeoutError):
        return StoreUnavailableError(_unreachable(place, error))
    if status is None and number in _DISK:
        what, remedy = _DISK[number]
        return StorageError(f"{place}: {what}; {remedy}")
    return StorageError(
        f"{place}: {type(error).__name__}: {_text(error)}; correct the place, or give another one"
    )


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status that an exception of a store's client carries; None if it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) or None
    for value in (
        getattr(error, "status", None),
        getattr(error, "status_code", None),
        getattr(error, "code", None),
    ):
        if isinstance(value, int | str) and str(value).isdigit():
            return int(value)
    return None


def is_status(error: BaseException, status: int) -> bool:
    """Return whether a store answered with this HTTP status."""
    return any(http_status(cause) == status for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and those that led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _kinds(error: BaseException) -> set[str]:
    """Return the names of all its classes; the packages that define the classes may be missing."""
    names: set[str] = set()
    for cause in _causes(error):
        names.update(kind.__name__ for kind in type(cause).__mro__)
    return names


def _codes(error: BaseException) -> set[str]:
    """Return the codes of a store's answers, such as `NoSuchBucket`."""
    responses = [getattr(cause, "response", None) for cause in _causes(error)]
    found = {
        str(response.get("Error", {}).get("Code"))
        for response in responses
        if isinstance(response, dict)
    }
    return found | {str(getattr(cause, "error_code", None)) for cause in _causes(error)}


def _unreachable(place: str, error: BaseException) -> str:
    where = (
        "AWS_ENDPOINT_URL and the network"
        if protocol_of(place) in ("s3", "s3a")
        else "the address and the network"
    )
    return (
        f"{place}: the store cannot be reached ({_text(error)}); look at {where}, "
        "then run the command again"
    )


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

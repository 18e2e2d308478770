"""List the files below a root, a path or an fsspec URI, and read lists of names."""

import codecs
import os
from collections.abc import Iterator

from fsspec.implementations.local import LocalFileSystem

from ray_al.core.errors import ConfigError
from ray_al.core.places import open_place, storage_errors
from ray_al.core.reading import ABSENT, read_uri
from ray_al.core.storage import join_uri
from ray_al.datasets.naming import suffix_of

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def list_files(root: str, folder: str, suffixes: frozenset[str] | None = None) -> dict[str, str]:
    """Return the URI of every file below `folder` by its path relative to `root`, sorted.

    Links to folders are followed. Hidden files and folders are left out: some disks keep thumbnails
    there, under the names of the pictures.

    Args:
        root: path or URI.
        folder: relative to `root`; if it does not exist, there are no files.
        suffixes: of the files that are listed, in lower case; None lists all.

    Raises:
        ConfigError: a folder cannot be read, a link points to nothing, or something is neither a
            file nor a folder.
    """
    fs, base = open_place(root)
    base = base.rstrip("/")
    start = f"{base}/{folder}"
    try:
        if isinstance(fs, LocalFileSystem):
            paths = sorted(_walk(start, frozenset()))
        else:
            with storage_errors(root, missing=True):
                paths = sorted(fs.find(start))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise ConfigError(
            f"data.root: the folder {error.filename or start} may not be read; correct its "
            "permissions"
        ) from None
    found = {}
    for path in paths:
        inner = path.removeprefix(start).split("/")
        is_hidden = any(part[:1] == "." and part != ".." for part in inner)
        if not is_hidden and (suffixes is None or suffix_of(path) in suffixes):
            relative = path.removeprefix(f"{base}/")
            found[relative] = join_uri(root, relative) if "://" in root else path
    return found


def _walk(folder: str, above: frozenset[str]) -> Iterator[str]:
    """Yield all files below `folder`.

    A link to a folder above it would lead round in a circle and is left out.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            _check_entry(entry)
            is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
            if is_folder:
                yield from _walk(entry.path, above | {real})
            else:
                yield entry.path


def _check_entry(entry: os.DirEntry[str]) -> None:
    """Refuse what cannot be read as a file or a folder.

    A link to nothing is refused if it may have been a folder: it has no suffix.
    """
    if entry.is_symlink() and not os.path.exists(entry.path):
        if not suffix_of(entry.name):
            raise ConfigError(
                f"data.root: {entry.path} is a link that leads nowhere; mend it or remove it"
            )
    elif not (entry.is_file() or entry.is_dir()):
        # Reading a pipe would wait for ever, and a device may have no end.
        raise ConfigError(
            f"data.root: {entry.path} is a pipe, a socket or a device, not a file; remove it"
        )


def place_prefix(root: str) -> str:
    """Return what the URIs of all files below `root` begin with."""
    return (root if "://" in root else open_place(root)[1]).rstrip("/") + "/"


def read_lines(root: str, name: str) -> list[str] | None:
    """Return the non-empty lines of a text file below `root`; None if it does not exist.

    Raises:
        ConfigError: it is no text in UTF-8, or in UTF-16 with a byte order mark.
    """
    path = join_uri(root, name)
    try:
        data = read_uri(path)
    except ABSENT:
        return None
    encoding = "utf-8"
    for mark, marked_encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            encoding = marked_encoding
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is no list of names in UTF-8 ({error}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ConfigError(
            f"{path}: is no list of names in UTF-8 (it holds zero bytes); save it as UTF-8"
        )
    return [line.strip() for line in text.splitlines() if line.strip()]

"""List the files of a data set and find which image and mask belong together.

A root is a path or an fsspec URI. Layouts, also your own, are written with `Files`, `match`,
`list_files` and `read_lines`.
"""

import codecs
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fsspec.implementations.local import LocalFileSystem

from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Finding, Split
from ray_al.core.places import open_place, storage_errors
from ray_al.core.reading import ABSENT, read_uri
from ray_al.core.storage import join_uri
from ray_al.core.types import ImageFile
from ray_al.datasets.findings import listed

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
IMAGE_SUFFIXES = _PICTURES | {".npy", ".npz"}
MASK_SUFFIXES = _PICTURES | {".npy"}
SIDECARS = frozenset(
    {".csv", ".db", ".html", ".ini", ".json", ".md", ".txt", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that are usual among pictures, but are none."""
_BOUNDARY = re.compile(r"\s*[,;]\s*|\s+")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def list_files(root: str, folder: str, suffixes: frozenset[str] | None = None) -> dict[str, str]:
    """Return the URI of every file below `folder` by its path relative to `root`, sorted.

    Links to folders are followed. Hidden files are left out.

    Args:
        root: path or URI.
        folder: relative to `root`; if it does not exist, there are no files.
        suffixes: of the files that are listed, in lower case; None lists all.

    Raises:
        ConfigError: a folder cannot be read, or a link points to nothing.
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
        is_hidden = posixpath.basename(path).startswith(".")
        if not is_hidden and (suffixes is None or _suffix(path) in suffixes):
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
            _check_link(entry)
            is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
            if is_folder:
                yield from _walk(entry.path, above | {real})
            else:
                yield entry.path


def _check_link(entry: os.DirEntry[str]) -> None:
    """Refuse a link to nothing that may have been a folder: it has no suffix and is not hidden."""
    if not entry.is_symlink() or os.path.exists(entry.path):
        return
    if not _suffix(entry.name) and not entry.name.startswith("."):
        raise ConfigError(
            f"data.root: {entry.path} is a link that leads nowhere; mend it or remove it"
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


class Files:
    """The files below a folder, found by their path in it.

    Names match whether their accents are composed or decomposed.

    Attributes:
        folder: relative to the root.
        suffixes: of the files that are read.
        uris: the URI of each file by its path relative to the root.
        unread: paths of files with other suffixes, which may be pictures nevertheless.
    """

    def __init__(
        self, root: str, folder: str, suffixes: frozenset[str], *, below: str = ""
    ) -> None:
        self.folder = folder
        self.suffixes = suffixes
        self.uris: dict[str, str] = {}
        self.unread: list[str] = []
        for path, uri in list_files(root, f"{folder}/{below}".rstrip("/")).items():
            suffix = _suffix(path)
            if suffix in suffixes:
                self.uris[path] = uri
            elif suffix not in SIDECARS:
                self.unread.append(path)
        self._by_path: dict[str, str] = {}
        self._by_stem: dict[str, list[str]] = {}
        for path in self.uris:
            inner = _normal(path.removeprefix(f"{folder}/"))
            self._by_path[inner] = path
            self._by_stem.setdefault(_stem(inner), []).append(path)

    def stem(self, path: str) -> str:
        """Return what the path of a mask has in common with that of its image."""
        return _stem(_normal(path.removeprefix(f"{self.folder}/")))

    def of_stem(self, stem: str) -> list[str]:
        """Return the files that differ in their suffix alone, sorted."""
        return self._by_stem.get(stem, [])

    def stems(self) -> Iterator[tuple[str, list[str]]]:
        """Yield every stem with its files."""
        yield from self._by_stem.items()

    def named(self, name: str) -> list[str]:
        """Return the files that a line of a list may mean.

        The line may hold a path with or without the folder, the suffix, or with another suffix.
        """
        name = _normal(name.replace("\\", "/")).removeprefix("./").removeprefix(f"{self.folder}/")
        if name in self._by_path:
            return [self._by_path[name]]
        if found := self.of_stem(name):
            return found
        return self.of_stem(_stem(name)) if _suffix(name) in self.suffixes else []


@dataclass(frozen=True, kw_only=True)
class _Group:
    """The files that may be an image, and those that may be its mask; more than one is a fault."""

    images: list[str]
    masks: list[str]


def match(
    images: Files, masks: Files, wanted: Sequence[str] | None = None, *, source: str = ""
) -> Split:
    """Find the images of a split and the mask of each.

    Args:
        images: the image files.
        masks: the mask files.
        wanted: the lines of a list, each with the name of an image and perhaps of its mask; None
            takes all images, with the masks of the same name.
        source: the file of the list, for messages.
    """
    findings: list[Finding] = []
    if wanted is None:
        groups = [_Group(images=paths, masks=masks.of_stem(stem)) for stem, paths in images.stems()]
        findings = []
    else:
        groups, findings = _pick(images, masks, wanted, source)
    uris = images.uris | masks.uris
    pairs: dict[str, str | None] = {}
    for group in groups:
        for paths in (group.images, group.masks):
            if len(paths) > 1:
                findings.append(same_name([uris[path] for path in paths]))
        pairs[group.images[0]] = group.masks[0] if group.masks else None
    if spare := _spare(images, masks, pairs):
        findings.append(spare_masks(spare, masks.folder))
    findings += [_unread_files(files) for files in (images, masks) if files.unread]
    return Split(
        images=tuple(
            ImageFile(
                image_id=path,
                uri=images.uris[path],
                mask_uri=None if mask is None else masks.uris[mask],
            )
            for path, mask in sorted(pairs.items())
        ),
        findings=tuple(findings),
    )


def _spare(images: Files, masks: Files, pairs: dict[str, str | None]) -> list[str]:
    """Return the masks that belong to no image; none if a list pairs masks of other names."""
    for path, mask in pairs.items():
        if mask is not None and masks.stem(mask) != images.stem(path):
            return []
    used = set(pairs.values())
    spare: list[str] = []
    for stem, paths in masks.stems():
        if not images.of_stem(stem):
            spare += (path for path in paths if path not in used)
    return spare


def _pick(
    images: Files, masks: Files, wanted: Sequence[str], source: str
) -> tuple[list[_Group], list[Finding]]:
    """Return the files that each line names, each image once, and what is wrong with the list."""
    groups: dict[str, _Group] = {}
    unmatched, repeated = [], []
    for line in wanted:
        group = _of_line(images, masks, line)
        if group is None:
            unmatched.append(line)
        elif group.images[0] in groups:
            repeated.append(line)
        else:
            groups[group.images[0]] = group
    findings = []
    if unmatched:
        findings.append(
            Finding(
                name="unmatched_names",
                severity="error",
                message=f"{source}: {len(unmatched)} of {len(wanted)} lines name no image below "
                f"{images.folder}/: {listed(map(repr, unmatched))}; write paths below "
                f"{images.folder}/, with or without suffix, followed by the mask if it has another "
                "name (if images are left out on purpose, set data.allow=[unmatched_names])",
            )
        )
    if repeated:
        findings.append(
            Finding(
                name="repeated_names",
                severity="warning",
                message=f"{source}: named more than once: {listed(repeated)}",
            )
        )
    return list(groups.values()), findings


def _of_line(images: Files, masks: Files, line: str) -> _Group | None:
    """Return the files that a line names: an image, or an image and its mask."""
    if found := images.named(line):
        return _Group(images=found, masks=masks.of_stem(images.stem(found[0])))
    # Names may hold blanks, so the mask may begin behind any of them.
    for boundary in _BOUNDARY.finditer(line):
        found = images.named(line[: boundary.start()])
        named_masks = masks.named(line[boundary.end() :])
        if found and named_masks:
            return _Group(images=found, masks=named_masks)
    return None


def same_name(uris: Sequence[str]) -> Finding:
    """Return the finding that files of the same name leave open which of them is meant."""
    words = "differ in their suffix alone, so it is not clear which is meant; rename or remove one"
    return Finding(name="same_name", severity="error", message=f"{' and '.join(uris)}: {words}")


def spare_masks(paths: Sequence[str], folder: str) -> Finding:
    """Return the finding that nothing will read some masks."""
    return Finding(
        name="spare_masks",
        severity="warning",
        message=f"{len(paths)} masks below {folder}/ belong to no image: {listed(paths)}; a mask "
        "has the name of its image, except for the suffix (or one line of a list names both)",
    )


def _unread_files(files: Files) -> Finding:
    suffixes = ", ".join(sorted(files.suffixes))
    return Finding(
        name="unread_files",
        severity="warning",
        message=f"{len(files.unread)} files below {files.folder}/ are not read: "
        f"{listed(files.unread)}; only files with these suffixes are: {suffixes}",
    )


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _normal(path: str) -> str:
    """Return a path with composed accents."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)

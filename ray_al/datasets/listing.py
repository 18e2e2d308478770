"""Files of a root, a path or an fsspec URI, and which of them belong together."""

import codecs
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence

from fsspec.implementations.local import LocalFileSystem

from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Finding, Split
from ray_al.core.places import open_place, storage_errors
from ray_al.core.reading import ABSENT, read_uri
from ray_al.core.storage import join_uri
from ray_al.core.types import ImageFile
from ray_al.datasets.findings import listed

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}
SIDECARS = frozenset(
    {".csv", ".db", ".html", ".ini", ".json", ".md", ".txt", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that usually lie among pictures and are none."""
_BOUNDARY = re.compile(r"\s*[,;]\s*|\s+")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def list_files(root: str, folder: str, suffixes: frozenset[str] | None = None) -> dict[str, str]:
    """Path relative to `root` -> URI of every file below `folder`, sorted; empty where the folder does not exist.

    Folders that are links are followed. Without `suffixes` every file is listed, hidden ones apart.

    Raises:
        ConfigError: a folder cannot be read.
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
            f"data.root: the folder {error.filename or start} may not be read; correct its permissions"
        ) from None
    found = {}
    for path in paths:
        if (suffixes is None or _suffix(path) in suffixes) and not posixpath.basename(
            path
        ).startswith("."):
            relative = path.removeprefix(f"{base}/")
            found[relative] = join_uri(root, relative) if "://" in root else path
    return found


def place_prefix(root: str) -> str:
    """What the URIs of all files below `root` begin with."""
    return (root if "://" in root else open_place(root)[1]).rstrip("/") + "/"


def _walk(folder: str, above: frozenset[str]) -> Iterator[str]:
    """All files below `folder`; a link to a folder that lies above it leads round in a circle and is left out."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            is_link = entry.is_symlink()
            if (
                is_link
                and not os.path.exists(entry.path)
                and not _suffix(entry.name)
                and not entry.name.startswith(".")
            ):
                raise ConfigError(
                    f"data.root: {entry.path} is a link that leads nowhere; mend it or remove it"
                )
            if os.path.isdir(entry.path) if is_link else entry.is_dir():
                yield from _walk(entry.path, above | {real})
            else:
                yield entry.path


def read_lines(root: str, name: str) -> list[str] | None:
    """Lines of a text file below `root`; None where it does not exist.

    Raises:
        ConfigError: it is no text in UTF-8, or in UTF-16 with a byte order mark.
    """
    path = join_uri(root, name)
    try:
        data = read_uri(path)
    except ABSENT:
        return None
    encoding = next(
        (encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8"
    )
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
    """The files below a folder, found by their path in it, whichever way its accents are composed."""

    def __init__(
        self, root: str, folder: str, suffixes: frozenset[str], *, below: str = ""
    ) -> None:
        self.folder, self.suffixes = folder, suffixes
        self.uris: dict[str, str] = {}
        self.unread: list[str] = []
        """Files of kinds that are not read, though they may be pictures."""
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
        """What a mask has in common with its image."""
        return _stem(_normal(path.removeprefix(f"{self.folder}/")))

    def of_stem(self, stem: str) -> list[str]:
        """The files that differ in their suffix alone, sorted."""
        return self._by_stem.get(stem, [])

    def stems(self) -> Iterator[tuple[str, list[str]]]:
        """Every stem with its files."""
        yield from self._by_stem.items()

    def named(self, name: str) -> list[str]:
        """The files that a line of a list may mean: by path, with or without the folder, the suffix, or another suffix."""
        name = _normal(name.replace("\\", "/")).removeprefix("./").removeprefix(f"{self.folder}/")
        if name in self._by_path:
            return [self._by_path[name]]
        if found := self.of_stem(name):
            return found
        return self.of_stem(_stem(name)) if _suffix(name) in self.suffixes else []


def match(
    images: Files, masks: Files, wanted: Sequence[str] | None = None, *, source: str = ""
) -> Split:
    """Images with the masks of the same name, or those that the lines `wanted` of the list `source` name."""
    pairs: dict[str, str | None] = {}
    findings: list[Finding] = []
    if wanted is None:
        groups = [(found, masks.of_stem(stem)) for stem, found in images.stems()]
    else:
        groups, findings = _pick(images, masks, wanted, source)
    uris = images.uris | masks.uris
    for found, beside in groups:
        findings += [
            same_name([uris[path] for path in group]) for group in (found, beside) if len(group) > 1
        ]
        pairs[found[0]] = beside[0] if beside else None
    used = set(pairs.values())
    spare = [
        path
        for stem, paths in masks.stems()
        if not images.of_stem(stem)
        for path in paths
        if path not in used
    ]
    if spare and all(
        mask is None or masks.stem(mask) == images.stem(path) for path, mask in pairs.items()
    ):  # else a list pairs them
        findings.append(spare_masks(spare, masks.folder))
    findings += [_unread_files(group) for group in (images, masks) if group.unread]
    files = (
        ImageFile(
            image_id=path,
            uri=images.uris[path],
            mask_uri=None if mask is None else masks.uris[mask],
        )
        for path, mask in pairs.items()
    )
    return Split(
        images=tuple(sorted(files, key=lambda file: file.image_id)), findings=tuple(findings)
    )


def _pick(
    images: Files, masks: Files, wanted: Sequence[str], source: str
) -> tuple[list[tuple[list[str], list[str]]], list[Finding]]:
    """For every line the images and the masks that it may mean, each once, and what is wrong with the list."""
    groups: dict[str, tuple[list[str], list[str]]] = {}
    unmatched, repeated = [], []
    for line in wanted:
        group = _of_line(images, masks, line)
        if group is None:
            unmatched.append(line)
        elif group[0][0] in groups:
            repeated.append(line)
        else:
            groups[group[0][0]] = group
    findings = []
    if unmatched:
        findings.append(
            Finding(
                name="unmatched_names",
                severity="error",
                message=f"{source}: {len(unmatched)} of {len(wanted)} lines name no image below {images.folder}/: {listed(map(repr, unmatched))}; "
                f"write paths below {images.folder}/, with or without suffix, and a mask of another name behind them (where images "
                "are left out on purpose, set data.allow=[unmatched_names])",
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


def _of_line(images: Files, masks: Files, line: str) -> tuple[list[str], list[str]] | None:
    if found := images.named(line):
        return found, masks.of_stem(images.stem(found[0]))
    for boundary in _BOUNDARY.finditer(line):  # "image mask": names may hold blanks themselves
        found, beside = images.named(line[: boundary.start()]), masks.named(line[boundary.end() :])
        if found and beside:
            return found, beside
    return None


def same_name(uris: Sequence[str]) -> Finding:
    """Files of which one is meant."""
    words = (
        "differ in their suffix alone, so that nothing tells which is meant; rename or remove one"
    )
    return Finding(name="same_name", severity="error", message=f"{' and '.join(uris)}: {words}")


def spare_masks(paths: Sequence[str], folder: str) -> Finding:
    """Masks that nothing will read."""
    words = (
        "a mask has the name of its image, but for the suffix (or both stand in one line of a list)"
    )
    return Finding(
        name="spare_masks",
        severity="warning",
        message=f"{len(paths)} masks below {folder}/ belong to no image: {listed(paths)}; {words}",
    )


def _unread_files(files: Files) -> Finding:
    words = f"are passed over: {listed(files.unread)}; what is read are {', '.join(sorted(files.suffixes))}"
    return Finding(
        name="unread_files",
        severity="warning",
        message=f"{len(files.unread)} files below {files.folder}/ {words}",
    )


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _normal(path: str) -> str:
    return path if path.isascii() else unicodedata.normalize("NFC", path)

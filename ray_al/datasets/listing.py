"""List the files of a data set and find which image and mask belong together.

A root is a path or an fsspec URI. Layouts, also your own, are written with `Files`, `match`,
`list_files` and `read_lines`.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ray_al.core.families.layouts import Finding, Split
from ray_al.core.types import ImageFile
from ray_al.datasets.findings import listed
from ray_al.datasets.folders import list_files, place_prefix, read_lines
from ray_al.datasets.naming import (
    MAX_COMPARED,
    STEM,
    NamePattern,
    added_pattern,
    composed,
    stem_of,
    suffix_of,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "MASK_SUFFIXES",
    "SIDECARS",
    "Files",
    "list_files",
    "match",
    "place_prefix",
    "read_lines",
    "same_name",
    "spare_masks",
]

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
IMAGE_SUFFIXES = _PICTURES | {".npy", ".npz"}
MASK_SUFFIXES = _PICTURES | {".npy"}
SIDECARS = frozenset(
    {".csv", ".db", ".html", ".ini", ".json", ".md", ".txt", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that are usual among pictures, but are none."""
_LABEL_STUDIO = re.compile(r"task-\d+-annotation-\d+-by-.*-tag-.+-\d+\.")
"""Names of the files, one for each label, as which Label Studio exports brush strokes."""
_SEPARATOR = re.compile(r"[-_.]")
_BOUNDARY = re.compile(r"\s*[,;]\s*|\s+")


class Files:
    """The files below a folder, found by their path in it.

    Names match whether their accents are composed or decomposed.

    Args:
        root: path or URI of the data set.
        folder: relative to the root.
        suffixes: of the files that are read, in lower case.
        below: a folder in it, to which the files are limited.
        pattern: of the files' names, in which `{stem}` is the stem of the image that a mask belongs
            to; files of other names belong to none. It may end in a suffix.

    Attributes:
        folder: relative to the root.
        suffixes: of the files that are read.
        uris: the URI of each file by its path relative to the root.
        unread: paths of files with other suffixes, which may be pictures nevertheless.
        notes: paths of JSON files, which may hold annotations, unless they are read.
    """

    def __init__(
        self,
        root: str,
        folder: str,
        suffixes: frozenset[str],
        *,
        below: str = "",
        pattern: str = STEM,
    ) -> None:
        self.folder = folder
        self.suffixes = suffixes
        self.uris: dict[str, str] = {}
        self.unread: list[str] = []
        self.notes: list[str] = []
        for path, uri in list_files(root, f"{folder}/{below}".rstrip("/")).items():
            suffix = suffix_of(path)
            if suffix in suffixes:
                self.uris[path] = uri
            elif suffix not in SIDECARS:
                self.unread.append(path)
            elif suffix == ".json":
                self.notes.append(path)
        self._name = NamePattern(composed(pattern), suffixes)
        self._by_path: dict[str, str] = {}
        self._by_stem: dict[str, list[str]] = {}
        for path in self.uris:
            inner = composed(path.removeprefix(f"{folder}/"))
            self._by_path[inner] = path
            if (stem := self._name.stem(inner)) is not None:
                self._by_stem.setdefault(stem, []).append(path)

    def stem(self, path: str) -> str | None:
        """Return the path of the image of a mask without suffix; None if its name fits no image."""
        return self._name.stem(composed(path.removeprefix(f"{self.folder}/")))

    @property
    def strangers(self) -> list[str]:
        """The files whose names do not fit the pattern."""
        return [path for path in self.uris if self.stem(path) is None]

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
        name = composed(name.replace("\\", "/")).removeprefix("./").removeprefix(f"{self.folder}/")
        if name in self._by_path:
            return [self._by_path[name]]
        if found := self.of_stem(name):
            return found
        return self.of_stem(stem_of(name)) if suffix_of(name) in self.suffixes else []


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
        findings.append(
            spare_masks(
                spare,
                masks.folder,
                suffix=_added(images, masks, spare),
                by_label=_are_by_label(images, masks, spare),
            )
        )
    findings += _unread_notes(images, pairs)
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


def _added(images: Files, masks: Files, spare: Sequence[str]) -> str:
    """Return the value of `data.mask_suffix` with which these masks would belong to images."""
    names = [stem_of(composed(path.removeprefix(f"{masks.folder}/"))) for path in spare]
    pattern = added_pattern((stem for stem, _ in images.stems()), names)
    # YAML takes a brace in front for the start of a mapping, and a suffix alone says the same.
    return pattern.removeprefix(STEM)


def _are_by_label(images: Files, masks: Files, spare: Sequence[str]) -> bool:
    """Return whether masks look like several for each image, each with the pixels of one label."""
    counts: Counter[str] = Counter()
    for path in spare[:MAX_COMPARED]:
        inner = composed(path.removeprefix(f"{masks.folder}/"))
        if _LABEL_STUDIO.match(posixpath.basename(inner)):
            return True
        ends = (sign.start() for sign in _SEPARATOR.finditer(inner))
        counts.update({inner[:end] for end in ends if images.of_stem(inner[:end])})
    return any(count > 1 for count in counts.values())


def _unread_notes(images: Files, pairs: Mapping[str, str | None]) -> list[Finding]:
    """Return the finding that images without mask have a JSON file of their name beside them."""
    bare = {stem_of(path) for path, mask in pairs.items() if mask is None}
    notes = [path for path in images.notes if stem_of(path) in bare]
    if not notes:
        return []
    message = (
        f"{len(notes)} images without mask have a JSON file of their name, which is not read: "
        f"{listed(notes)}; if labelme made them, set data.dataset=labelme, and if another tool "
        "did, export COCO's format from it and set data.dataset=coco"
    )
    return [Finding(name="unread_annotations", severity="warning", message=message)]


def _spare(images: Files, masks: Files, pairs: dict[str, str | None]) -> list[str]:
    """Return the masks that belong to no image; none if a list pairs masks of other names."""
    for path, mask in pairs.items():
        if mask is not None and masks.stem(mask) != images.stem(path):
            return []
    used = set(pairs.values())
    spare = masks.strangers
    for stem, paths in masks.stems():
        if not images.of_stem(stem):
            spare += (path for path in paths if path not in used)
    return sorted(spare)


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
        return _Group(images=found, masks=masks.of_stem(images.stem(found[0]) or ""))
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


def spare_masks(
    paths: Sequence[str], folder: str, *, suffix: str = "", by_label: bool = False
) -> Finding:
    """Return the finding that nothing will read some masks.

    Args:
        paths: of the masks.
        folder: in which they are.
        suffix: the value of `data.mask_suffix` with which all of them would belong to an image.
        by_label: whether they look like one file for each label of an image.
    """
    remedy = f"; set data.mask_suffix={suffix} if they are masks of these images" if suffix else ""
    if by_label:
        remedy = (
            "; if each file holds one label of an image, export COCO's format instead "
            "(data.dataset=coco), or draw the files of an image into one mask with an id per label"
        )
    return Finding(
        name="spare_masks",
        severity="warning",
        message=f"{len(paths)} masks below {folder}/ belong to no image: {listed(paths)}; a mask "
        "has the name of its image, except for the suffix, or as data.mask_suffix says (or one "
        f"line of a list names both){remedy}",
    )


def _unread_files(files: Files) -> Finding:
    suffixes = ", ".join(sorted(files.suffixes))
    return Finding(
        name="unread_files",
        severity="warning",
        message=f"{len(files.unread)} files below {files.folder}/ are not read: "
        f"{listed(files.unread)}; only files with these suffixes are: {suffixes}",
    )

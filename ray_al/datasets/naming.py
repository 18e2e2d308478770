"""Names of files: suffixes, accents, and what masks add to the names of images."""

import posixpath
import unicodedata
from collections.abc import Iterable, Sequence

STEM = "{stem}"
"""What stands in a pattern for the name of an image without its suffix."""

MAX_COMPARED = 50
"""Number of masks that are compared with all images to find a pattern."""


def stem_of(path: str) -> str:
    """Return a path without its suffix."""
    return posixpath.splitext(path)[0]


def suffix_of(path: str) -> str:
    """Return the suffix of a path, in lower case."""
    return posixpath.splitext(path)[1].lower()


def composed(path: str) -> str:
    """Return a path with composed accents."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


class NamePattern:
    """A pattern of names such as `{stem}_mask`.

    Args:
        pattern: with `{stem}` once.
        suffixes: of files; one of them may end the pattern.
    """

    def __init__(self, pattern: str, suffixes: frozenset[str]) -> None:
        suffix = suffix_of(pattern)
        self.suffix = suffix if suffix in suffixes else ""
        self.before, _, self.after = pattern[: len(pattern) - len(self.suffix)].partition(STEM)

    def stem(self, path: str) -> str | None:
        """Return the path without what the pattern adds to its name; None if it does not fit."""
        folder, name = posixpath.split(stem_of(path))
        fits = not self.suffix or suffix_of(path) == self.suffix
        inner = name.removeprefix(self.before).removesuffix(self.after)
        if not fits or not inner or name != f"{self.before}{inner}{self.after}":
            return None
        return posixpath.join(folder, inner)


def added_pattern(stems: Iterable[str], names: Sequence[str]) -> str:
    """Return the pattern that makes all names those of images; "" if there is none.

    Args:
        stems: paths of images without suffix.
        names: paths of masks without suffix.
    """
    by_folder: dict[str, list[str]] = {}
    for path in stems:
        folder, stem = posixpath.split(path)
        by_folder.setdefault(folder, []).append(stem)
    patterns: set[str] | None = None
    for path in names[:MAX_COMPARED]:
        folder, name = posixpath.split(path)
        fits = {name.replace(stem, STEM, 1) for stem in by_folder.get(folder, ()) if stem in name}
        patterns = fits if patterns is None else patterns & fits
    return min(patterns or {""}, key=len)

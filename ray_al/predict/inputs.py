"""Find the images that are to be predicted: files, folders, patterns, on disks or in buckets."""

import hashlib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ray_al.core.errors import ConfigError
from ray_al.core.places import before_work, is_folder, open_place, storage_errors
from ray_al.core.reading import size_of_uri
from ray_al.datasets.listing import IMAGE_SUFFIXES, list_files

PATTERN = re.compile(r"[*?\[]")
"""Signs that make a place a pattern, unless a file or folder has that very name."""
SHOWN_SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))
MAX_NAME = 160
"""Most bytes of the name of an image that its predictions keep: disks take 255, of which suffixes
and temporary files need some."""
DIGEST_DIGITS = 8
"""Hexadecimal digits that keep two images of the same name apart."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An image that was asked for.

    Attributes:
        uri: absolute path or URI.
        wish: the name that its predictions take if no other image has it: the path below the folder
            that was given, without the suffix.
    """

    uri: str
    wish: str


@before_work()
def find_images(places: Sequence[str]) -> list[Source]:
    """Return the images at `places`, each once: in the order of the places, then by name.

    A folder stands for all pictures below it, by their suffixes; a file is taken whatever its
    suffix. Hidden files are left out unless they are named. Patterns are those of fsspec: `*`, `?`,
    `[…]`, and `**` for any number of folders.

    Raises:
        ConfigError: a place does not exist, cannot be read, or holds no image.
    """
    found: dict[str, Source] = {}
    for place in places:
        for source in _sources_at(_absolute(place)):
            found.setdefault(source.uri, source)
    return list(found.values())


def _absolute(place: str) -> str:
    return place if "://" in place else os.path.abspath(place)


def _sources_at(place: str) -> list[Source]:
    if is_folder(place):
        sources = list(_below(place))
        if not sources:
            raise ConfigError(
                f"{place}: no image is in this folder; images are found by their suffixes, "
                f"{SHOWN_SUFFIXES}"
            )
        return sources
    if size_of_uri(place) >= 0:
        if os.path.exists(place) and not os.path.isfile(place):
            # Reading a pipe would wait for ever, and a device may have no end.
            raise ConfigError(f"{place}: is a pipe, a socket or a device; give a file")
        return [Source(uri=place, wish=_stem(posixpath.basename(place)))]
    if not PATTERN.search(place):
        raise ConfigError(f"{place}: no such file or folder; give images that exist")
    sources = list(_matching(place))
    if not sources:
        raise ConfigError(f"{place}: no file matches this pattern; correct it")
    return sources


def _below(folder: str) -> Iterator[Source]:
    try:
        files = list_files(folder, "", IMAGE_SUFFIXES)
    except ConfigError as error:
        # Its messages name the setting that holds the folder in a configuration.
        raise ConfigError(str(error).replace("data.root", "IMAGES", 1)) from None
    for relative, uri in files.items():
        yield Source(uri=uri, wish=_stem(relative))


def _matching(pattern: str) -> Iterator[Source]:
    """Yield the files that match; their names begin behind the last folder without a pattern."""
    fs, path = open_place(pattern)
    fixed = posixpath.dirname(path[: _first_sign(path)])
    prefix = pattern[: len(pattern) - len(path)] if "://" in pattern else ""
    with storage_errors(pattern):
        matches = sorted(match for match in fs.glob(path) if _is_shown(match) and fs.isfile(match))
    for match in matches:
        relative = match.removeprefix(fixed).lstrip("/")
        yield Source(uri=f"{prefix}{match}", wish=_stem(relative))


def _is_shown(path: str) -> bool:
    return not posixpath.basename(path).startswith(".")


def _first_sign(path: str) -> int:
    sign = PATTERN.search(path)
    return len(path) if sign is None else sign.start()


def _stem(relative: str) -> str:
    """Return a name without its suffix that leads to no folder above, whatever a bucket's key."""
    parts = [
        part if part not in ("", ".", "..") else "_"
        for part in posixpath.splitext(relative)[0].split("/")
    ]
    return "/".join(parts)


def assign_names(sources: Sequence[Source], known: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each image's predictions by its URI, no two alike.

    Args:
        sources: the images.
        known: names by URI that earlier calls assigned; they stay.
    """
    names = dict(known)
    taken = set(known.values())
    for source in sources:
        if source.uri not in names:
            is_free = source.wish not in taken and not _is_long(source.wish)
            name = source.wish if is_free else _own_name(source)
            names[source.uri] = name
            taken.add(name)
    return names


def _own_name(source: Source) -> str:
    """Return a name that ends in a digest of the image's place, short enough for any disk."""
    digest = hashlib.sha256(source.uri.encode(errors="surrogateescape")).hexdigest()
    folder, leaf = posixpath.split(source.wish)
    short = leaf.encode(errors="surrogateescape")[:MAX_NAME].decode(errors="ignore")
    return posixpath.join(folder, f"{short}-{digest[:DIGEST_DIGITS]}")


def _is_long(name: str) -> bool:
    return len(posixpath.basename(name).encode(errors="surrogateescape")) > MAX_NAME


def check_apart(out: str, run_uri: str, places: Sequence[str]) -> None:
    """Refuse an output folder in the run directory, or in or around a folder of images.

    Raises:
        ConfigError: with both places.
    """
    real_out = _real(out)
    if _is_in(real_out, _real(run_uri)):
        raise ConfigError(
            f"--out {out!r} lies in the run directory {run_uri!r}, whose files are the run's own; "
            "give another folder"
        )
    for place in places:
        is_pattern = PATTERN.search(place) is not None and not os.path.lexists(place)
        fixed = posixpath.dirname(place[: _first_sign(place)]) if is_pattern else place
        given = _real(fixed or ".")
        if _is_in(real_out, given) and (is_pattern or not os.path.isfile(given)):
            raise ConfigError(
                f"--out {out!r} lies in the folder {given!r} of the images, where the next call "
                "would take predictions for images; give a folder outside"
            )
        if _is_in(given, real_out):
            raise ConfigError(
                f"{place}: lies in --out {out!r}, where predictions are written; "
                "give images from elsewhere, or another folder"
            )


def _real(place: str) -> str:
    local = place.removeprefix("file://")
    return local.rstrip("/") if "://" in local else os.path.realpath(local)


def _is_in(place: str, folder: str) -> bool:
    return f"{place}/".startswith(f"{folder.rstrip('/')}/")

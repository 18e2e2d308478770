"""Paths and URIs inside a configuration, and the folders that they are relative to."""

import copy
import os
from typing import Any

from ray_al.core.model import WEIGHTS

PLACES = (("data", "root"), ("model", "weights"), ("features", "store", "root"))
"""Settings that are paths or URIs."""


def folder_of(path: str) -> str:
    """Return the folder, a path or URI, that paths inside the file `path` are relative to."""
    return path.rsplit("/", 1)[0] if "://" in path else os.path.dirname(os.path.abspath(path))


def make_absolute(values: dict[str, Any], folder: str | None) -> None:
    """Make the paths in `values` absolute, in place.

    Args:
        values: plain values of a whole configuration, or of parts of it.
        folder: a path or URI, to which they are relative; None leaves them as they are.
    """
    if not folder:
        return
    for *sections, key in PLACES:
        section: Any = values
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        place = section.get(key) if isinstance(section, dict) else None
        if isinstance(place, str) and place and not (key == "weights" and place in WEIGHTS):
            section[key] = absolute(place, folder)


def absolute_value(key: str, value: Any, folder: str | None) -> Any:
    """Return the value of a dotted key with the paths in it made absolute; see `make_absolute`."""
    *sections, last = key.split(".")
    values: dict[str, Any] = {last: copy.deepcopy(value)}
    for name in reversed(sections):
        values = {name: values}
    make_absolute(values, folder)
    for name in sections:
        values = values[name]
    return values[last]


def absolute(path: str, folder: str) -> str:
    """Return `path` unchanged if it is a URI or absolute, else below `folder`, a path or URI."""
    path = path if "://" in path else os.path.expanduser(path)
    if "://" in path or os.path.isabs(path):
        return path if "://" in path else os.path.normpath(path)
    scheme, separator, place = folder.rpartition("://")
    return scheme + separator + os.path.normpath(os.path.join(place, path))

"""The setting `data.mask_values`: what stands in masks, and the class that it means."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

IGNORE = "ignore"
"""The name that stands in a table for "no label"."""
MAX_ID = 2**31 - 1
Value = int | tuple[int, int, int]
"""An id (or grey level, or palette entry), or red, green and blue."""
_COLOR = re.compile(r"\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*")
_HEX = re.compile(r"\s*#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})\s*")


def value_of(key: object) -> Value:
    """Return the value that a key of the table means.

    Args:
        key: a whole number, as such or as text, or a colour such as "255,0,0" or "#ff0000".

    Raises:
        ValueError: it is neither.
    """
    if isinstance(key, str):
        if match := _COLOR.fullmatch(key):
            color = int(match[1]), int(match[2]), int(match[3])
            if max(color) <= 255:
                return color
        if match := _HEX.fullmatch(key):
            return int(match[1], 16), int(match[2], 16), int(match[3], 16)
        if re.fullmatch(r"\s*\d{1,10}\s*", key):
            key = int(key)
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key <= MAX_ID:
        return key
    raise ValueError(
        f"{key!r} is neither an id nor a colour; write a whole number such as 255, or red, green "
        'and blue in quotes, such as "255,0,0"'
    )


def key_of(value: Value) -> str:
    """Return the key of a value, in the one form in which it is kept."""
    return str(value) if isinstance(value, int) else ",".join(map(str, value))


def _mask_values(table: object) -> object:
    """Return the table with keys in one form; the name of a file stays as it is."""
    if table is None:
        return None
    if isinstance(table, str) and table.strip():
        return table.strip()
    if not isinstance(table, Mapping) or not table:
        raise ValueError(
            "give a table such as {0: road, 255: ignore}, or the name of a file below data.root, "
            "such as labelmap.txt"
        )
    checked: dict[str, str] = {}
    for key, name in table.items():
        value = value_of(key)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(
                f"{key}: {name!r} is no name; give that of a class (in quotes if it is a number), "
                f"or {IGNORE}"
            )
        if checked.setdefault(key_of(value), name) != name:
            raise ValueError(f"{key_of(value)} means two classes; give it once")
    if len({isinstance(value_of(key), int) for key in checked}) == 2:
        raise ValueError(
            "holds both ids and colours; write ids alone, or colours alone (a grey level of a "
            'colour mask is a colour such as "128,128,128")'
        )
    return checked


_SCHEMA = {
    "title": "a table such as {0: road, 255: ignore}, or a file such as labelmap.txt",
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
        {"type": "string", "minLength": 1},
        {"type": "null"},
    ],
}
MaskValues = Annotated[
    dict[str, str] | str | None, BeforeValidator(_mask_values), WithJsonSchema(_SCHEMA)
]
"""The name of a class, or `ignore`, by id or colour; or the file that holds such a table."""


def _mask_suffix(pattern: str) -> str:
    """Return a pattern with `{stem}`; a suffix alone goes behind the stem."""
    written = pattern if "{" in pattern or "}" in pattern else f"{{stem}}{pattern}"
    before, found, after = written.partition("{stem}")
    if not found or set("{}/\\") & set(before + after) or written != written.strip():
        raise ValueError(
            "give what the names of masks add to those of images, such as _mask, or a pattern "
            "with {stem} once, such as mask_{stem}; folders do not belong here"
        )
    return written


MaskSuffix = Annotated[str, AfterValidator(_mask_suffix)]
"""How the name of a mask follows from that of its image, without folder."""

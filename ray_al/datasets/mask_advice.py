"""Write the table of `data.mask_values` that a message offers to be copied."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from ray_al.core.config.mask_values import IGNORE, Value, key_of
from ray_al.core.types import IGNORE_INDEX

MAX_VALUES = 24
"""Number of different values beyond which a mask rather holds a picture than classes, unless there
are as many classes."""
UNKNOWN = "NAME"
"""What stands in an offered table for a name that cannot be known; no configuration takes it."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*[A-Za-z0-9_]|[A-Za-z]")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def table_text(names: Mapping[Value, str]) -> str:
    """Return a table as one line of YAML."""
    rows = [f"{_key_text(value)}: {_name_text(name)}" for value, name in names.items()]
    return f"mask_values: {{{', '.join(rows)}}}"


def _key_text(value: Value) -> str:
    return str(value) if isinstance(value, int) else f'"{key_of(value)}"'


def _name_text(name: str) -> str:
    is_plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS
    return name if is_plain else json.dumps(name, ensure_ascii=False)


def ordered(values: Iterable[Value]) -> list[Value]:
    """Return values in ascending order, ids before colours."""
    return sorted(values, key=lambda value: (isinstance(value, tuple), value))


def advise(values: Iterable[Value], class_names: Sequence[str], known: Mapping[Value, str]) -> str:
    """Return a remedy for masks with unknown values, with the table to copy.

    Args:
        values: all that occur, of one kind.
        class_names: of the classes that are learnt, by id.
        known: what the settings say of some values; empty if they number the classes from 0.
    """
    values = ordered(set(values))
    if len(values) > max(MAX_VALUES, len(class_names) + 2):
        return (
            f"{len(values)} different values are too many for classes; give masks that hold one "
            "value per class"
        )
    offers = {"": _with_known(values, known)} if known else _offers(values, class_names)
    written = ", or, ".join(condition + table_text(table) for condition, table in offers.items())
    if any(UNKNOWN in table.values() for table in offers.values()):
        return (
            f"write under data, for each {UNKNOWN} the name of its class, or {IGNORE} if it means "
            f"'no label': {written}"
        )
    return f"if the classes have these values in this order, write under data: {written}"


def _with_known(values: Iterable[Value], known: Mapping[Value, str]) -> dict[Value, str]:
    unknown = {value: _implied(value) for value in values if value not in known}
    return {**known, **unknown}


def _implied(value: Value) -> str:
    return IGNORE if value == IGNORE_INDEX else UNKNOWN


def _offers(values: list[Value], class_names: Sequence[str]) -> dict[str, dict[Value, str]]:
    """Return the tables that fit the number of classes, by the condition under which each does."""
    num = len(class_names)
    inner = [value for value in values if value != IGNORE_INDEX]
    if isinstance(values[0], tuple):
        return {"": dict.fromkeys(values, UNKNOWN)}
    if len(values) == num:
        return {"": dict(zip(values, class_names, strict=True))}
    if len(inner) == num:
        return {"": {**dict(zip(inner, class_names, strict=True)), **_void(values)}}
    if len(inner) == num + 1 and inner[0] == 0:
        first = {inner[0]: IGNORE, **dict(zip(inner[1:], class_names, strict=True))}
        last = {**dict(zip(inner, class_names, strict=False)), inner[-1]: IGNORE}
        return {
            "if 0 means 'no label', ": {**first, **_void(values)},
            f"if {inner[-1]} means 'no label', ": {**last, **_void(values)},
        }
    numbered: dict[Value, str] = dict(enumerate(class_names))
    is_numbered = numbered.keys() <= set(inner)
    return {"": _with_known(values, numbered if is_numbered else {})}


def _void(values: Iterable[Value]) -> dict[Value, str]:
    return {value: IGNORE for value in values if value == IGNORE_INDEX}

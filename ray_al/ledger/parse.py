"""Turn JSON values into the frozen dataclasses of `ray_al.ledger.records`.

The annotations of a dataclass are its only schema. A damaged journal is found when it is read, not
when its values are used. Keys that a dataclass does not name may hold anything.
"""

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ray_al.core.family import Family

Parsed = TypeVar("Parsed")
Reader = Callable[[object, str], Any]
"""Checks a JSON value and converts it; the second argument names its key in messages."""

SHOWN = 40
"""Characters of a wrong value that a message shows."""


class Malformed(ValueError):
    """A JSON value that does not fit the annotation of its key; the message names both."""


def parse(kind: type[Parsed], data: Mapping[str, object], key: str = "") -> Parsed:
    """Build the dataclass `kind` from the JSON object `data`.

    Numbers are kept as they are written: 1 stays an int even if a float is expected.

    Args:
        key: the key that holds `data`; empty for the outermost object.

    Raises:
        Malformed: a key without a default is missing, or a value has the wrong type.
    """
    hint: Any = kind
    readers, required = _readers_of(hint)
    missing = sorted(required - data.keys())
    if missing:
        raise Malformed(f"{key} lacks {missing}" if key else f"keys {missing} are missing")
    values = {
        name: read(data[name], f"{key}.{name}" if key else name)
        for name, read in readers.items()
        if name in data
    }
    return kind(**values)


@functools.cache
def _readers_of(kind: type) -> tuple[Mapping[str, Reader], frozenset[str]]:
    """Return the readers of the fields of a dataclass by name, and the names without a default."""
    hints = get_type_hints(kind, include_extras=True)
    assert is_dataclass(kind)
    required = frozenset(
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    )
    return {field.name: _reader(hints[field.name]) for field in fields(kind)}, required


@functools.cache
def _reader(hint: Any) -> Reader:
    """Return the reader for an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return functools.partial(_name_in, arguments[1])
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return functools.partial(_optional, _reader(inner))
    if origin is tuple and arguments[-1] is Ellipsis:
        return functools.partial(_list, _reader(arguments[0]))
    if origin is tuple:
        return functools.partial(_row, tuple(_reader(argument) for argument in arguments))
    if origin is Mapping:
        return functools.partial(_mapping, _reader(arguments[1]))
    if isinstance(hint, type) and is_dataclass(hint):
        return functools.partial(_object, hint)
    return functools.partial(_scalar, hint)


def _name_in(family: Family[Any], value: object, key: str) -> str:
    """Accept the name of a kind of `family`, or `package.module:Class`."""
    if isinstance(value, str) and (value in family.kinds or ":" in value):
        return value
    raise Malformed(f"{key} is {_shown(value)}, not one of {', '.join(sorted(family.kinds))}")


def _optional(read: Reader, value: object, key: str) -> Any:
    return None if value is None else read(value, key)


def _list(read: Reader, value: object, key: str) -> tuple[Any, ...]:
    return tuple(read(item, f"{key}[{index}]") for index, item in enumerate(_items(value, key)))


def _row(readers: tuple[Reader, ...], value: object, key: str) -> tuple[Any, ...]:
    """Accept a list with one value for each reader."""
    items = _items(value, key)
    if len(items) != len(readers):
        raise Malformed(f"{key} is {_shown(value)}, not {len(readers)} values")
    pairs = enumerate(zip(readers, items, strict=True))
    return tuple(read(item, f"{key}[{index}]") for index, (read, item) in pairs)


def _items(value: object, key: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Malformed(f"{key} is {_shown(value)}, not a list")
    return value


def _mapping(read: Reader, value: object, key: str) -> dict[str, Any]:
    return {name: read(item, f"{key}.{name}") for name, item in _entries(value, key).items()}


def _object(kind: type, value: object, key: str) -> Any:
    return parse(kind, _entries(value, key), key)


def _entries(value: object, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Malformed(f"{key} is {_shown(value)}, not keys and values")
    return value


def _scalar(kind: type, value: object, key: str) -> Any:
    """Accept a value of `kind`; an int is a float as well, a bool is neither."""
    accepted = (int, float) if kind is float else kind
    is_right = isinstance(value, accepted)
    if is_right and (kind in (bool, object) or not isinstance(value, bool)):
        return value
    raise Malformed(f"{key} is {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

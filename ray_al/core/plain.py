"""Settings as plain values, and YAML that is read the way people write it.

PyYAML follows YAML 1.1: it reads `no` and `on` as booleans, `12:30` as 750, `010` as 8 and `1e-3`
as text, and keeps the last of two equal keys. Here files are read by the core schema of YAML 1.2,
and ambiguous text is refused.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import yaml

from ray_al.core.errors import ConfigError

MAX_DEPTH = 40
"""Largest number of sections inside each other."""
MAX_VALUES = 100_000
"""Largest number of values in a file: aliases can make a short file endless."""

_TAG = "tag:yaml.org,2002:"
_SCALARS: tuple[tuple[str, str, Sequence[str]], ...] = (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """Loader of text, numbers, booleans, null, lists and mappings; no other tags, no key twice."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping, and refuse equal keys."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is given twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Construct an int (decimal, 0o octal or 0x hexadecimal) or a float."""
        text = str(self.construct_scalar(node)).lower()
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        if node.tag == f"{_TAG}int":
            return int(text, base)
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def construct_boolean(self, node: yaml.ScalarNode) -> bool:
        """Construct true or false; other words that YAML 1.1 takes for booleans are refused."""
        text = str(self.construct_scalar(node)).lower()
        if text not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text == "true"


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes text which either version of YAML would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: equal values are written out, not as aliases."""
        return True


_Loader.yaml_implicit_resolvers = {}
_Loader.yaml_constructors = {}
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))
_CONSTRUCTORS: tuple[tuple[str | None, Any], ...] = (
    (None, yaml.SafeLoader.construct_undefined),
    ("null", yaml.SafeLoader.construct_yaml_null),
    ("bool", _Loader.construct_boolean),
    ("int", _Loader.construct_number),
    ("float", _Loader.construct_number),
    ("str", yaml.SafeLoader.construct_yaml_str),
    ("seq", yaml.SafeLoader.construct_yaml_seq),
    ("map", yaml.SafeLoader.construct_yaml_map),
)
for _tag, _construct in _CONSTRUCTORS:
    _Loader.add_constructor(_tag and _TAG + _tag, _construct)


def load_yaml(data: bytes | str, *, source: str) -> Any:
    """Return the plain value that YAML text holds; None if it is empty.

    No two parts of the value are the same object.

    Args:
        data: the text.
        source: the file or command that gave it, with which messages begin.

    Raises:
        ConfigError: the text is not valid YAML, or holds a value that no setting can have.
    """
    try:
        value = yaml.load(data, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        what = " ".join(f"{error.context or ''} {error.problem}".split())
        raise ConfigError(f"{source}: not valid YAML: {what}{place}; correct it") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            f"{source}: not valid YAML: {' '.join(str(error).split())}; correct it"
        ) from None
    except RecursionError:
        raise ConfigError(
            f"{source}: lists and mappings lie too deep in each other; "
            f"settings are at most {MAX_DEPTH} deep"
        ) from None
    return plain(value, source=source)


def dump_yaml(value: Any) -> str:
    """Return `value` as YAML that `load_yaml`, and readers of YAML 1.1, read back the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def plain(value: Any, *, source: str) -> Any:
    """Return a deep copy of `value`, in which every part is an object of its own.

    Args:
        value: text, finite numbers, booleans, None, lists, and mappings whose keys are text, or
            whole numbers, which become text.
        source: the file or command that gave it, with which messages begin.

    Raises:
        ConfigError: a part is something else; with its key.
    """
    return _Copier(source).copy(value, ())


class _Copier:
    """A copy of plain values, which counts the values and refuses too many.

    Args:
        source: as of `plain`.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.num_left = MAX_VALUES

    def copy(self, value: Any, keys: tuple[str, ...]) -> Any:
        """Return a copy of the value at `keys`."""
        self.num_left -= 1
        if self.num_left < 0 or len(keys) > MAX_DEPTH:
            raise self._error(
                keys[:3],
                "lists and mappings without end, or too deep in each other; write the values out",
            )
        if isinstance(value, dict):
            return self._copy_mapping(value, keys)
        if isinstance(value, list | tuple):
            return [self.copy(inner, (*keys, str(index))) for index, inner in enumerate(value)]
        if problem := _problem(value):
            raise self._error(keys, problem)
        return value

    def _copy_mapping(self, values: dict[Any, Any], keys: tuple[str, ...]) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for key, inner in values.items():
            name = self._checked(key, keys)
            if name in copied:
                raise self._error(keys, f"the key {name!r} is given twice; leave one out")
            copied[name] = self.copy(inner, (*keys, name))
        return copied

    def _checked(self, key: object, keys: tuple[str, ...]) -> str:
        """Return a key of the mapping at `keys`: text, or a whole number, which becomes text."""
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str):
            raise self._error(
                keys, f"the key {key!r} is not text; correct its name, or put it into quotes"
            )
        if problem := _problem(key):
            raise self._error(keys, f"in the name of a key: {problem}")
        return key

    def _error(self, keys: tuple[str, ...], text: str) -> ConfigError:
        return ConfigError(": ".join([self.source, *([".".join(keys)] if keys else []), text]))


def _problem(value: object) -> str | None:
    """Return why no setting can be this scalar; None if it can."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        fits = -(2**63) <= value < 2**63
        return None if fits else "a whole number of more than 64 bits; give a smaller one"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value!r} is not a finite number; give one"
    if isinstance(value, str):
        if "\0" in value or not _is_encodable(value):
            return f"{value!r} holds characters that no file or name can have; correct it"
        return None
    return (
        f"a {type(value).__name__} cannot be a setting; "
        "give text, a number, true, false, a list or keys with values"
    )


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

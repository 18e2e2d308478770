"""Settings as plain values, and YAML that is read the way people write it.

YAML 1.1, PyYAML's own rules, reads `no` and `on` as booleans, `12:30` as 750, `010` as 8 and `1e-3` as text, and keeps the last of two equal
keys. Files are read by the core schema of YAML 1.2 here, and what two people could read in two ways is refused.
"""

import math
import re
from typing import Any

import yaml

from ray_al.core.errors import ConfigError

MAX_DEPTH = 40
MAX_VALUES = 100_000
"""Aliases can make a short file endless."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """Text, numbers, booleans, nothing, lists and mappings; no key twice, no other tags."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} stands there twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        text = str(self.construct_scalar(node)).lower()
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        if node.tag == f"{_TAG}int":
            return int(text, base)
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def construct_boolean(self, node: yaml.ScalarNode) -> bool:
        text = str(self.construct_scalar(node)).lower()
        if text not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text == "true"


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either version of YAML would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
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
    """The plain value that YAML text holds; None where it is empty. No two parts of it are one object.

    Args:
        source: what messages begin with.

    Raises:
        ConfigError: it is no YAML, or holds what no setting can be.
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
            f"{source}: lists and mappings lie too deep in each other; settings are at most {MAX_DEPTH} deep"
        ) from None
    return plain(value, source=source)


def dump_yaml(value: Any) -> str:
    """`value` as YAML that `load_yaml`, and readers of YAML 1.1, read back the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def plain(value: Any, *, source: str) -> Any:
    """A copy of `value` in which every part is its own: text, finite numbers, booleans, None, lists, and mappings with text as keys.

    Raises:
        ConfigError: naming the key and what is there.
    """
    left = [MAX_VALUES]

    def refuse(keys: tuple[str, ...], what: str) -> ConfigError:
        return ConfigError(f"{source}: {'.'.join(keys)}: {what}" if keys else f"{source}: {what}")

    def copy(value: Any, keys: tuple[str, ...]) -> Any:
        left[0] -= 1
        if left[0] < 0 or len(keys) > MAX_DEPTH:
            raise refuse(
                keys[:3],
                "lists and mappings without end, or too deep in each other; write the values out",
            )
        if isinstance(value, dict):
            return {
                _check_key(key, refuse, keys): copy(inner, (*keys, key))
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [copy(inner, (*keys, str(index))) for index, inner in enumerate(value)]
        if problem := _problem(value):
            raise refuse(keys, problem)
        return value

    return copy(value, ())


def _check_key(key: Any, refuse: Any, keys: tuple[str, ...]) -> str:
    if not isinstance(key, str):
        raise refuse(keys, f"the key {key!r} is no text; correct its name, or put it into quotes")
    if problem := _problem(key):
        raise refuse(keys, f"in the name of a key: {problem}")
    return key


def _problem(value: Any) -> str | None:
    """Why no setting can be this scalar."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return (
            None
            if -(2**63) <= value < 2**63
            else "a whole number of more than 64 bits; give a smaller one"
        )
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value!r} is no finite number; give one"
    if isinstance(value, str):
        if "\0" in value or not _is_encodable(value):
            return f"{value!r} holds characters that no file or name can have; correct it"
        return None
    return f"a {type(value).__name__} can be no setting; give text, a number, true, false, a list or keys with values"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

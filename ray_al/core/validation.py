"""From plain values to a checked section, and what is wrong with them in one line each."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from ray_al.core.errors import ConfigError
from ray_al.core.plain import plain
from ray_al.core.section import Section, leaves, shown

Model = TypeVar("Model", bound=Section)


def validate(model: type[Model], values: Mapping[str, Any], *, source: str) -> Model:
    """`values` as a `model`.

    Raises:
        ConfigError: every problem, with key, value seen and remedy, in one line.
    """
    try:
        return model.model_validate(plain(dict(values), source=source))
    except ValidationError as error:
        problems = list(dict.fromkeys(_explain(model, problem) for problem in error.errors()))
        raise ConfigError(f"{source}: " + "; ".join(problems)) from None


def _explain(model: type[Section], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(part for part in location if not re.search(r"[\[\]()]|^(int|float|tuple|literal)$", part))
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(known)
        return f"unknown key {key!r} (value {shown(problem['input'])}); {hint}"
    message = problem["msg"].removeprefix("Value error, ") + _HINTS.get(problem["type"], "")
    seen = "" if isinstance(problem["input"], dict) else f" (value {shown(problem['input'])})"
    return f"{key}{seen}: {message}" if key else message


_HINTS = {
    "string_type": "; write it in quotes to make it text",
    "model_type": ": keys with values, such as {key: value}",
    "dict_type": ": keys with values, such as {key: value}",
    "tuple_type": ": a list, such as [a, b]",
    "finite_number": "; give one",
}
"""What pydantic's messages leave to be guessed."""


def check_key(model: type[Section], key: str, *, name: str) -> None:
    """Refuse a dotted key that no setting or section of `model` has (ConfigError); `name` is what gave it."""
    section: Any = model
    parts = key.split(".")
    for position, part in enumerate(parts):
        known = list(section.model_fields) if section is not None else []
        if part not in known:
            near = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
            hint = f"did you mean {'.'.join([*parts[:position], near[0]])!r}?" if near else f"known keys: {', '.join(known) or 'none below it'}"
            raise ConfigError(f"{name} {key!r}: no such setting; {hint}")
        section = _section_of(section, part)


def _section_of(section: Any, part: str) -> Any:
    """The section that a field holds; None where it holds a value."""
    kinds = leaves(section.model_fields[part].annotation)
    return next((leaf for leaf in kinds if isinstance(leaf, type) and issubclass(leaf, Section)), None)


def _known_keys(model: type[Section], location: list[str]) -> list[str]:
    """The keys of the section at `location`, whose parts are fields, and keys or kinds of what a field may hold."""
    section: Any = model
    for part in location:
        if part in section.model_fields:
            section = _section_of(section, part) or section
    return list(section.model_fields)

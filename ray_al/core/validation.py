"""From plain values to a checked section, with each problem explained in one line."""

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ray_al.core.errors import ConfigError
from ray_al.core.family import Family, family_of
from ray_al.core.plain import plain
from ray_al.core.section import Section, leaves, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=Section)


def validate(model: type[Model], values: Mapping[str, Any], *, source: str) -> Model:
    """Return the section that plain values describe.

    Args:
        model: class of the section.
        values: its plain values.
        source: the file or command that gave them, with which messages begin.

    Raises:
        ConfigError: every problem, with key, value seen and remedy, in one line.
    """
    given = plain(dict(values), source=source)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = list(
            dict.fromkeys(_explain(model, given, problem) for problem in error.errors())
        )
        raise ConfigError(f"{source}: " + "; ".join(problems)) from None


def _explain(model: type[Section], values: Any, problem: "ErrorDetails") -> str:
    """Return one of pydantic's problems in words: key, value seen, and remedy."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(
        part for part in location if not re.search(r"[\[\]()]|^(int|float|tuple|literal)$", part)
    )
    if problem["type"] == "extra_forbidden":
        hint = _hint(model, values, location)
        return f"unknown key {key!r} (value {shown(problem['input'])}); {hint}"
    message = problem["msg"].removeprefix("Value error, ") + _HINTS.get(problem["type"], "")
    seen = "" if isinstance(problem["input"], dict) else f" (value {shown(problem['input'])})"
    return f"{key}{seen}: {message}" if key else message


def _hint(model: type[Section], values: Any, location: list[str]) -> str:
    """Return what to do about the unknown key at the end of `location`."""
    section = model
    family: Family[Any] | None = None
    value = values
    last = location[-1]
    for part in location[:-1]:
        value = _inside(value, part)
        if part in section.model_fields:
            field = section.model_fields[part]
            family = family_of(field)
            section = section_of(field) or section
        if family is not None and (kind := family.kind_of(value)) is not None:
            section = family.find(kind)
    if renamed := _RENAMED.get(tuple(location[-2:])):
        return f"it is called {renamed!r} now"
    known = list(section.model_fields)
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
    owners = family.owners(last) if family is not None else []
    if family is not None and owners:
        others = " or ".join(map(repr, owners))
        return (
            f"it is a setting of kind {others}, and this one is {family.kind_of(value)!r}: "
            f"leave it out, or set kind to {owners[0]!r}"
        )
    if near:
        return f"did you mean {near[0]!r}?"
    return _inner_owner(section, last) or "known keys: " + ", ".join(known)


def _inner_owner(section: type[Section], key: str) -> str | None:
    """Return where a key belongs that is a setting of a variant inside the section; else None."""
    for field in section.model_fields.values():
        family = family_of(field)
        if family is not None and (owners := family.owners(key)):
            return f"it is a setting of {family.key} if its kind is {owners[0]!r}; give it there"
    return None


def _inside(value: Any, part: str) -> Any:
    """Return the item of a mapping or list; a value without items is returned as it is."""
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return value


_RENAMED = {("strategy", "score"): "strategy.acquisition", ("score",): "scoring"}

_HINTS = {
    "string_type": "; write it in quotes to make it text",
    "model_type": ": keys with values, such as {key: value}",
    "dict_type": ": keys with values, such as {key: value}",
    "tuple_type": ": a list, such as [a, b]",
    "finite_number": "; give one",
}
"""Remedies that pydantic's messages lack, by the type of its error."""


def family_at(model: type[Section], key: str) -> Family[Any] | None:
    """Return the family of the variant at a dotted key of `model`; None if it holds no variant."""
    section: type[Section] | None = model
    family = None
    for part in key.split("."):
        field = section.model_fields.get(part) if section is not None else None
        if field is None:
            return None
        family = family_of(field)
        section = section_of(field)
    return family


def check_key(model: type[Section], key: str, *, name: str) -> None:
    """Refuse a dotted key that no setting or section of `model` has.

    Args:
        model: class of the outermost section.
        key: such as `train.steps`.
        name: the option or file that gave the key, with which the message begins.

    Raises:
        ConfigError: with the nearest key.
    """
    sections = [model]
    parts = key.split(".")
    for position, part in enumerate(parts):
        fields: dict[str, list[FieldInfo]] = {}
        for section in sections:
            for field_name, field in section.model_fields.items():
                fields.setdefault(field_name, []).append(field)
        if part not in fields:
            known = list(fields)
            near = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
            hint = (
                f"did you mean {'.'.join([*parts[:position], near[0]])!r}?"
                if near
                else f"known keys: {', '.join(known) or 'none below it'}"
            )
            raise ConfigError(f"{name} {key!r}: no such setting; {hint}")
        sections = []
        for field in fields[part]:
            sections += _sections_of(field)


def _sections_of(field: FieldInfo) -> list[type[Section]]:
    """Return the sections that a field may hold: one, or the built-in variants of a family.

    The list is empty if the field holds a value.
    """
    family = family_of(field)
    if family is not None:
        return [family.find(kind) for kind in family.kinds]
    section = section_of(field)
    return [section] if section is not None else []


def section_of(field: FieldInfo) -> type[Section] | None:
    """Return the first section that a field may hold; None if it holds a value."""
    return next(
        (
            leaf
            for leaf in leaves(field.annotation)
            if isinstance(leaf, type) and issubclass(leaf, Section)
        ),
        None,
    )

"""Changes to plain values: merge settings into a configuration before it is checked."""

import copy
from collections.abc import Mapping
from typing import Any

from ray_al.core.family import family_of
from ray_al.core.section import Section
from ray_al.core.validation import section_of


def keep_one_length(train: object, changed: object) -> None:
    """Remove `steps` or `epochs` from `train`, in place, if `changed` sets the other one.

    Anything but two mappings is left as it is, to be refused when it is checked.
    """
    if not isinstance(train, dict) or not isinstance(changed, Mapping):
        return
    for length, other in (("steps", "epochs"), ("epochs", "steps")):
        if changed.get(length) is not None and other not in changed:
            train.pop(other, None)


def override(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set `changes` in `values`, in place; sections are changed key by key.

    A variant of another kind replaces the whole section.
    """
    for key, value in changes.items():
        known = values.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping) and _have_one_kind(known, value):
            override(known, value)
        else:
            values[key] = copy.deepcopy(value)


def _have_one_kind(known: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    kind = known.get("kind")
    return bool(value.get("kind", kind) == kind)


def merge(
    values: dict[str, Any], changed: Mapping[str, Any], section: type[Section] | None
) -> None:
    """Set `changed` in the values of a section, in place; sections inside it are set key by key.

    If another kind of a family is set, the settings that this kind does not have are removed.

    Args:
        values: the section's plain values.
        changed: new values.
        section: its class; None if it is not known.
    """
    for key, value in changed.items():
        field = section.model_fields.get(key) if section is not None else None
        family = family_of(field) if field is not None else None
        if not isinstance(value, dict):
            values[key] = value
            continue
        known = family.spelt_out(values.get(key)) if family is not None else values.get(key)
        if not isinstance(known, dict):
            known = {}
        inner = section_of(field) if field is not None else None
        if family is not None:
            family.leave_out(known, value)
            kind = family.kind_of({**known, **value})
            inner = family.find(kind) if kind in family.kinds else None
        elif inner is not None:
            inner.leave_out(known, value)
        values[key] = known
        merge(known, value, inner)

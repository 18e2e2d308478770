"""Types of settings that several sections share: amounts, names, sides of images."""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ray_al.core.errors import ConfigError
from ray_al.core.section import Section


def _amount(value: object) -> int | float:
    """Return the count or share that a plain value means."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)):
        value = float(Fraction(match[1]) / 100)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("give a whole number (a count) or a share such as 0.02 or '2 %'")
    if isinstance(value, float) and value > 1:
        raise ValueError("a share lies between 0 and 1; write a count without a decimal point")
    if value <= 0:
        raise ValueError("must be more than 0")
    if value >= 2**63:
        raise ValueError("is more than any pool has; lower it")
    return value


def parse_share(text: str, *, name: str) -> float:
    """Return the share that a text gives: 0.08 for `0.08` or `8 %`.

    Args:
        text: the share as it was typed.
        name: the option that gave it, for the message.

    Raises:
        ConfigError: the text is not a share.
    """
    try:
        value = _amount(text if "%" in text else float(text))
    except ValueError:
        raise ConfigError(
            f"{name} {text!r}: give a share of the pool between 0 and 1, or like '8 %'"
        ) from None
    return float(value)


_AMOUNT_SCHEMA = {
    "title": "a count, or a share such as 0.02 or '2 %'",
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
    ],
}
Amount = Annotated[int | float, BeforeValidator(_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
"""A count (int), or a share of the whole (float up to 1, or a string with a percent sign)."""


def _amounts(value: object) -> int | float | tuple[int | float, ...]:
    """Return one amount, or a tuple of amounts for consecutive cycles."""
    if not isinstance(value, list | tuple):
        return _amount(value)
    if not value:
        raise ValueError(
            "give at least one amount, such as ['0.5 %', '1 %']; "
            "the last one holds for all cycles after it"
        )
    amounts = []
    for place, item in enumerate(value, start=1):
        try:
            amounts.append(_amount(item))
        except ValueError as error:
            raise ValueError(f"amount {place} of {len(value)}, {item!r}: {error}") from None
    return tuple(amounts)


_AMOUNTS_SCHEMA = {
    "anyOf": [_AMOUNT_SCHEMA, {"type": "array", "items": _AMOUNT_SCHEMA, "minItems": 1}],
}
Amounts = Annotated[
    int | float | tuple[int | float, ...],
    BeforeValidator(_amounts),
    WithJsonSchema(_AMOUNTS_SCHEMA),
]
"""An `Amount`, or a tuple of them."""


def _class_name(name: str) -> str:
    if not name.strip():
        raise ValueError("a class needs a name that can be seen; give one")
    return name


def _split_name(name: str) -> str:
    if name.startswith("~") or {"", ".", ".."} & set(name.strip().split("/")):
        raise ValueError(
            "a split is named by a folder or list below data.root; give a name such as train or val"
        )
    return name


MIN_SHARE = 1e-6
"""Smallest share of a pool that may be drawn for validation; `%g` writes it without exponent."""
NO_VALIDATION = "none"
"""Value of `data.val_split` of a run without validation images."""


def _val_split(value: object) -> object:
    """Return the name of a split, `none`, or a share as text with a percent sign."""
    if value is None:
        return NO_VALIDATION
    is_text = isinstance(value, str)
    if isinstance(value, bool) or (is_text and "%" not in str(value)):
        return value
    share = _amount(value)
    if isinstance(share, int) or share >= 1:
        raise ValueError(
            "give the name of a split, none, or a share of the pool below 1 such as '10 %'"
        )
    if share < MIN_SHARE:
        raise ValueError(f"a share of {share:g} is less than one image of any pool; raise it")
    return f"{float(100 * Fraction(str(share))):g} %"


ClassName = Annotated[str, AfterValidator(_class_name)]
SplitName = Annotated[str, AfterValidator(_split_name)]
ValSplit = Annotated[
    SplitName, BeforeValidator(_val_split, json_schema_input_type=str | float | None)
]
"""The name of a split, `none`, or a share of the pool such as `10 %`."""
Side = Annotated[int, Field(ge=16, le=2**14)]
"""Pixels of an image's height or width, as the network sees it."""
Byte = Annotated[int, Field(ge=0, le=255)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
"""Images in a batch of training, over all workers."""
Epochs = Annotated[int, Field(ge=1, le=10**9)]

Schedule = Literal["constant", "poly", "cosine", "step"]
"""How the learning rate falls over a cycle.

`step` divides it by ten every `train.schedule_step` epochs.
"""


def form_of(value: object) -> str:
    """Return the form in which a setting is given: as a rule with keys, or as plain values.

    These are the tags of a union in which one alternative is a section.
    """
    return "(rule)" if isinstance(value, Mapping | Section) else "(plain)"

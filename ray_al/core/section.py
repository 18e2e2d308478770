"""The base class of all sections of a configuration, and types of settings that they share."""

import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""At least one."""

Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A count that may be zero."""

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A seed of random numbers."""

Positive = Annotated[float, Field(gt=0, le=1e9)]
"""A number above zero."""

Weight = Annotated[float, Field(ge=0, le=1e9)]
"""A factor, or a length of time, that may be zero."""


def _share_or_whole(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError(
            "of more than one GPU a process takes whole ones; "
            "give a share up to 1, or a whole number"
        )
    return value


Gpus = Annotated[float, Field(ge=0, le=1000), AfterValidator(_share_or_whole)]
"""GPUs of one process: a share up to 1, or a whole number."""


class Section(BaseModel):
    """A part of the configuration: frozen, without unknown keys, its numbers finite."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def leave_out(cls, values: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Take from `values`, in place, settings that have no meaning once `changes` are made."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for numbers, which Python would take for 1 and 0."""
        types = set(leaves(cls.model_fields[str(info.field_name)].annotation))
        if types & {int, float} and not types & {bool, Any} and _holds_boolean(value):
            raise ValueError("true and false are not numbers; give a number")
        return value


def leaves(annotation: Any) -> Iterator[Any]:
    """Yield the plain types that make up an annotation."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from leaves(argument)


def _holds_boolean(value: object) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, list | tuple) and any(map(_holds_boolean, value))
    )


def shown(value: object) -> str:
    """Return a value as text for a message, shortened to about 120 characters."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"

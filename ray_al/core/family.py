"""Families of variants: a variant is one class, which is its own settings; `kind` tells which."""

import difflib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ray_al.core.errors import ConfigError
from ray_al.core.imports import import_function
from ray_al.core.section import Section, shown

Variant = TypeVar("Variant", bound=Section)


class Family(Generic[Variant]):
    """The variants that a setting may name, and the validator that makes them from plain values.

    A field is declared as `Annotated[Base, FAMILY]`. In a configuration its value is a mapping with
    `kind`, one of the names below or `package.module:Class` for a user's own class, and the fields
    of that class. Modules of variants are imported when they are named.

    Args:
        key: of the setting, for messages.
        base: what every variant derives from.
        kinds: name -> "package.module:Class".
        default: the kind of a mapping that names none; None refuses such a mapping.
    """

    def __init__(self, key: str, base: type[Variant], kinds: Mapping[str, str], default: str | None = None) -> None:
        self.key, self.base, self.kinds, self.default = key, base, dict(kinds), default

    def find(self, kind: str) -> type[Variant]:
        """The class of a kind.

        Raises:
            ConfigError: there is none, or it does not derive from the family's base.
        """
        key = f"{self.key}.kind"
        place = self.kinds.get(kind, kind)
        if ":" not in place:
            near = difflib.get_close_matches(kind, self.kinds, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known kinds: {', '.join(self.kinds)}"
            raise ConfigError(f"{key} {shown(kind)}: unknown; {hint} (or package.module:Class)")
        found = import_function(key, place, wanted=f"a subclass of {self.base.__name__}")
        if not isinstance(found, type) or not issubclass(found, self.base):
            base = f"{self.base.__module__}.{self.base.__name__}"
            raise ConfigError(f"{key} {shown(kind)}: it is no subclass of {base}; derive it from that")
        return found

    def parse(self, value: Any) -> Variant:
        """The variant that plain values describe; one that is made already stays as it is."""
        if isinstance(value, self.base):
            return value
        if not isinstance(value, Mapping):
            raise ValueError("give keys with values, such as {kind: " + next(iter(self.kinds)) + "}")
        kind = value.get("kind", self.default)
        if not isinstance(kind, str):
            raise ValueError(f"its kind is {shown(kind)}; give one of {', '.join(self.kinds)}")
        try:
            variant = self.find(kind)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix(f"{self.key}.")) from None
        return variant.model_validate({**value, "kind": kind})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda variant, info: variant.model_dump(mode=info.mode), info_arg=True),
        )

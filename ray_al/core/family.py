"""Families of variants.

A variant is one class whose fields are its settings; the setting `kind` names the variant.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
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
        key: the setting, for messages.
        base: class from which every variant derives.
        kinds: name -> "package.module:Class".
        default: the kind of a mapping that names none; None refuses such a mapping.
        takes_word: whether a plain word is short for the mapping {kind: word}.
    """

    def __init__(
        self,
        key: str,
        base: type[Variant],
        kinds: Mapping[str, str],
        default: str | None = None,
        *,
        takes_word: bool = False,
    ) -> None:
        self.key = key
        self.base = base
        self.kinds = dict(kinds)
        self.default = default
        self.takes_word = takes_word

    def find(self, kind: str) -> type[Variant]:
        """Return the class of a kind.

        Raises:
            ConfigError: the class does not exist, is abstract, or does not derive from the base.
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
            raise ConfigError(
                f"{key} {shown(kind)}: it is not a subclass of {base}; derive it from that"
            )
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise ConfigError(
                f"{key} {shown(kind)}: it does not define {', '.join(missing)}; "
                f"define what {self.base.__name__} asks for"
            )
        return found

    def parse(self, value: Any) -> Variant:
        """Return the variant that plain values describe; a variant is returned as it is.

        Raises:
            ValueError: the values describe no variant; pydantic adds the key.
        """
        if isinstance(value, self.base):
            return value
        value = self.spelt_out(value)
        if not isinstance(value, Mapping):
            raise ValueError(
                "give keys with values, such as {kind: " + next(iter(self.kinds)) + "}"
            )
        kind = self.kind_of(value)
        if kind is None:
            what = (
                f"its kind is {shown(value['kind'])}" if "kind" in value else "its kind is missing"
            )
            raise ValueError(f"{what}; give one of {', '.join(self.kinds)}")
        try:
            variant = self.find(kind)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix(f"{self.key}.")) from None
        return variant.model_validate({**value, "kind": kind})

    def spelt_out(self, value: Any) -> Any:
        """Return the mapping that a plain word is short for; any other value as it is."""
        return {"kind": value} if self.takes_word and isinstance(value, str) else value

    def kind_of(self, value: Any) -> str | None:
        """Return the kind that plain values name; None if they name none."""
        value = self.spelt_out(value)
        kind = value.get("kind", self.default) if isinstance(value, Mapping) else None
        return kind if isinstance(kind, str) else None

    def leave_out(self, values: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Remove from `values`, in place, settings that the kind named in `changes` does not have.

        Keys that neither kind has stay, to be refused as unknown.
        """
        before = self.kind_of(values)
        after = self.kind_of(changes) if "kind" in changes else None
        if before is None or after is None or before == after:
            return
        try:
            left_out = self.find(before).model_fields.keys() - self.find(after).model_fields.keys()
        except ConfigError:
            return  # one of them is unknown, and parsing says so
        for key in left_out & values.keys():
            del values[key]

    def owners(self, key: str) -> list[str]:
        """Return the built-in kinds that have a setting of this name."""
        return [kind for kind in self.kinds if key in self.find(kind).model_fields]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._plain, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return a schema of all built-in kinds with their settings, and of a user's own class."""
        variants: list[Any] = [
            handler(self.find(kind).__pydantic_core_schema__) for kind in self.kinds
        ]
        own = {
            "type": "object",
            "description": "A class of your own, `package.module:Class`, with its settings.",
            "properties": {"kind": {"type": "string", "pattern": ":"}},
            "required": ["kind"],
        }
        words = [{"enum": list(self.kinds)}] if self.takes_word else []
        return {"anyOf": [*variants, own, *words]}

    def _plain(self, variant: Variant, info: core_schema.SerializationInfo) -> Any:
        """Return a variant's plain values, or its kind alone if the family takes a word for it."""
        values = variant.model_dump(mode=info.mode)
        return values["kind"] if self.takes_word and values.keys() == {"kind"} else values


def family_of(field: FieldInfo) -> Family[Any] | None:
    """Return the family of the variant, or of the list of variants, that a field holds."""
    direct = (item for item in field.metadata if isinstance(item, Family))
    return next(direct, None) or next(_families(field.annotation), None)


def _families(annotation: Any) -> Iterator[Family[Any]]:
    """Yield the families inside an annotation such as `tuple[Annotated[View, VIEWS], ...]`."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from (item for item in arguments[1:] if isinstance(item, Family))
    for argument in arguments:
        yield from _families(argument)

"""Generate the reference of all settings from the models that read them.

The reference is a JSON Schema (draft 2020-12, https://json-schema.org), or text for people.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from ray_al.core.section import Section
from ray_al.core.validation import check_key

WIDTH = 100
Schema = dict[str, Any]
Definitions = Mapping[str, Schema]
_PLAIN = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "keys with values",
}

_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


class _Generator(GenerateJsonSchema):
    """Add the defaults that a factory makes, and leave out titles, which repeat the keys."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Return the default of a field."""
        factory = schema.get("default_factory")
        if factory is None:
            return super().get_default_value(schema)
        return factory()  # type: ignore[call-arg]  # none of ours reads the other fields

    def encode_default(self, dft: Any) -> Any:
        """Return a default as plain values."""
        if isinstance(dft, Section):
            return dft.model_dump(mode="json")
        if isinstance(dft, tuple):
            return [self.encode_default(item) for item in dft]
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Give no field a title."""
        return False


def build_schema(model: type[Section]) -> Schema:
    """Return the JSON Schema of a configuration, with ranges, defaults and descriptions."""
    return model.model_json_schema(schema_generator=_Generator)


def schema_of(model: type[Section], key: str | None) -> Schema:
    """Return the schema of one dotted key of `model`, or of all of them.

    Raises:
        ConfigError: there is no such key; the message names the nearest one.
    """
    schema = build_schema(model)
    if key is None:
        return schema
    check_key(model, key, name="key")
    definitions = schema.get("$defs", {})
    found = _find(schema, key.split("."), definitions)
    matches = list({json.dumps(setting, sort_keys=True): setting for setting in found}.values())
    return {**(matches[0] if len(matches) == 1 else {"anyOf": matches}), "$defs": definitions}


def reference_text(model: type[Section], key: str | None = None) -> str:
    """Return the reference of one dotted key of `model`, or of all of them, for people.

    Raises:
        ConfigError: there is no such key; the message names the nearest one.
    """
    schema = schema_of(model, key)
    definitions = schema.get("$defs", {})
    if key is None:
        lines = list(_settings(schema, "", definitions, 0))
    else:
        alternatives = schema["anyOf"] if schema.keys() == {"anyOf", "$defs"} else [schema]
        lines = [
            line
            for alternative in alternatives
            for line in _setting(key, alternative, definitions, 0)
        ]
    return "\n".join(lines).rstrip()


def _find(schema: Schema, parts: list[str], definitions: Definitions) -> Iterator[Schema]:
    """Yield the schemas of a key inside another: several if variants share the name."""
    if not parts:
        yield schema
        return
    for section in _sections(schema, definitions):
        if parts[0] in section.get("properties", {}):
            yield from _find(section["properties"][parts[0]], parts[1:], definitions)


def _sections(schema: Schema, definitions: Definitions) -> Iterator[Schema]:
    """Yield the sections and variants that a value may be, or hold in a list or below names."""
    if "$ref" in schema:
        yield from _sections(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    elif schema.get("properties") and "pattern" not in schema["properties"].get("kind", {}):
        yield schema
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    inner += [schema[key] for key in ("items", "additionalProperties") if schema.get(key)]
    for item in inner:
        if isinstance(item, dict):
            yield from _sections(item, definitions)


def _settings(section: Schema, prefix: str, definitions: Definitions, depth: int) -> Iterator[str]:
    for name, schema in section.get("properties", {}).items():
        if _kind(section) is None or name != "kind":
            yield from _setting(f"{prefix}{name}", schema, definitions, depth)


def _setting(key: str, schema: Schema, definitions: Definitions, depth: int) -> Iterator[str]:
    """Yield the lines of a setting: key, type with default, description, its own settings."""
    sections = list(_sections(schema, definitions))
    kinds = [kind for section in sections if (kind := _kind(section)) is not None]
    yield _indented(key, depth)
    yield _indented(_type_line(schema, kinds, sections, definitions), depth + 1)
    description = schema.get("description") or (sections[0].get("description") if sections else "")
    if description:
        yield _indented(description, depth + 1)
    yield ""
    for section in sections:
        kind = _kind(section)
        if kind is not None:
            yield _indented(f"{key}: {{kind: {kind}}}", depth + 1)
            yield _indented(section.get("description", ""), depth + 2)
            yield ""
        inside = depth if kind is None else depth + 2
        yield from _settings(section, f"{key}.", definitions, inside)


def _kind(section: Schema) -> str | None:
    """Return the kind of a variant, or None if a section is no variant."""
    kind = section.get("properties", {}).get("kind", {}).get("const")
    return kind if isinstance(kind, str) else None


def _type_line(
    schema: Schema,
    kinds: list[str],
    sections: list[Schema],
    definitions: Definitions,
) -> str:
    if kinds:
        text = f"kind: {', '.join(kinds)}, or package.module:Class"
        text = f"list of variants, each {text}" if _is_list(schema) else text
    elif sections and "$ref" in schema:
        return "section"
    else:
        text = _type(schema, definitions)
    default = f"default: {_shown(schema['default'])}" if "default" in schema else "required"
    return f"{text}; {default}"


def _is_list(schema: Schema) -> bool:
    return schema.get("type") == "array"


def _type(schema: Schema, definitions: Definitions) -> str:
    """Return the type of a value in words, with its range."""
    if "title" in schema:  # words, if the types alone say too little
        return str(schema["title"])
    if "$ref" in schema:
        section = definitions[schema["$ref"].rpartition("/")[2]]
        return "{" + ", ".join(section.get("properties", {})) + "}"
    if alternatives := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        words = [_type(alternative, definitions) for alternative in alternatives]
        lists = [
            alternative.get("type") == "array" and "items" in alternative
            for alternative in alternatives
        ]
        pairs = zip(words, lists, strict=True)
        clear = [f"({word})" if is_list else word for word, is_list in pairs]
        return " or ".join(dict.fromkeys(clear))
    if "const" in schema or "enum" in schema:
        return ", ".join(map(_shown, schema.get("enum", [schema.get("const")])))
    if "prefixItems" in schema:
        items = ", ".join(_type(item, definitions) for item in schema["prefixItems"])
        return f"[{items}]"
    if schema.get("type") == "array":
        least = f" (at least {schema['minItems']})" if schema.get("minItems") else ""
        return f"list{least}, each {_type(schema.get('items', {}), definitions)}"
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return f"keys, each with {_type(inner, definitions)}"
    return _PLAIN.get(schema.get("type", ""), "any value") + _range(schema)


def _range(schema: Schema) -> str:
    """Return the limits of a number or text, for example ` from 1 to 4096`."""
    if "pattern" in schema:
        return f" that matches {schema['pattern']}"
    if "minimum" in schema and "maximum" in schema:
        return f" from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    limits = [f"{words} {_number(schema[key])}" for key, words in _LIMITS.items() if key in schema]
    return f" {' and '.join(limits)}" if limits else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _shown(value: Any) -> str:
    """Return a value as it is written in YAML, in one line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)


def _indented(text: str, depth: int) -> str:
    """Wrap text at `WIDTH` columns; its paragraphs become one."""
    margin = "  " * depth
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,
    )

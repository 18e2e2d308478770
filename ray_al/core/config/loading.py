"""From files and command lines to a checked configuration."""

import copy
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ray_al.core.config.merging import keep_one_length, merge
from ray_al.core.config.paths import folder_of, make_absolute
from ray_al.core.config.run import DEFAULT_STEPS, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.places import before_work
from ray_al.core.plain import load_yaml
from ray_al.core.reading import ABSENT, read_uri
from ray_al.core.validation import validate


def load_config(path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read, override and check a configuration file.

    Paths inside the file are relative to its folder, paths in `overrides` to the working directory.

    Args:
        path: a path or URI of a YAML file.
        overrides: texts of the form `key=value`, as `parse_override` reads them.

    Raises:
        ConfigError: naming the file or key, the value seen and the remedy.
    """
    values = read_yaml(path)
    make_absolute(values, folder_of(path))
    for override in overrides:
        keys, value = parse_override(override)
        apply_setting(values, ".".join(keys), value, folder=os.getcwd())
    return parse_config(values, source=path)


def parse_config(values: Mapping[str, Any], *, source: str) -> RunConfig:
    """Check plain values and return the configuration that they describe.

    Args:
        values: nested settings; missing ones take their defaults.
        source: the file or command that gave them, with which messages begin.

    Raises:
        ConfigError: every problem, with key, value seen and remedy, in one line.
    """
    values = dict(values)
    train = values.get("train")
    if isinstance(train, dict) and "steps" not in train and "epochs" not in train:
        values["train"] = {**train, "steps": DEFAULT_STEPS}
    return validate(RunConfig, values, source=source)


def apply_setting(
    values: dict[str, Any], key: str, value: Any, *, folder: str | None = None
) -> None:
    """Set a dotted key in nested values, in place; a mapping is merged into existing values.

    If another kind of a variant is named, the settings that only the previous kind has are removed.

    Args:
        values: plain values of a configuration that is not yet checked.
        key: such as `train.steps`.
        value: a plain value.
        folder: a path or URI, to which paths in `value` are relative; None leaves them as they are.
    """
    changed: dict[str, Any] = {}
    *sections, last = split_key(key)
    inner = changed
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = copy.deepcopy(value)
    make_absolute(changed, folder)
    merge(values, changed, RunConfig)
    keep_one_length(values.get("train"), changed.get("train"))
    final, changed_final = values.get("final"), changed.get("final")
    if isinstance(final, dict) and isinstance(changed_final, dict):
        keep_one_length(final.get("train"), changed_final.get("train"))


def parse_override(text: str) -> tuple[list[str], Any]:
    """Split `a.b=value` into (["a", "b"], value), with the value read as YAML.

    Raises:
        ConfigError: the text does not have this form.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {text!r}: expected KEY=VALUE, for example --set train.steps=100")
    try:
        return split_key(key.strip()), load_yaml(value, source=f"--set {key.strip()}")
    except ConfigError as error:
        raise ConfigError(
            f"{error}; the value is {value!r}, and if it holds blanks or brackets "
            "the shell wants quotes round KEY=VALUE"
        ) from None


def split_key(key: str) -> list[str]:
    """Return the parts of a dotted key.

    Raises:
        ConfigError: a part is empty.
    """
    parts = key.split(".")
    if not all(parts):
        raise ConfigError(
            f"key {key!r}: a part between its dots is empty; give a key such as train.steps"
        )
    return parts


def read_yaml(path: str) -> dict[str, Any]:
    """Return the keys and values of a YAML file.

    Args:
        path: a path or URI.

    Raises:
        ConfigError: the file does not exist, or does not hold keys and values.
    """
    try:
        with before_work():
            data = read_uri(path)
    except ABSENT:
        raise ConfigError(
            f"{path!r}: no such configuration file; give the path of a YAML file"
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"{path!r}: cannot be read ({error}); give the path of a YAML file"
        ) from None
    return parse_yaml(data, source=path)


def parse_yaml(data: bytes | str, *, source: str) -> dict[str, Any]:
    """Return the keys and values that YAML text holds.

    Args:
        data: the text.
        source: the file or command that gave it, with which messages begin.

    Raises:
        ConfigError: the text is not valid YAML, or does not hold keys and values.
    """
    values = load_yaml(data, source=source)
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise ConfigError(
            f"{source}: expected keys and values, such as `name: first`, found {found}; "
            "write them, or give another file"
        )
    return values

"""What a user wants to change in a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ray_al.core.config.mask_values import IGNORE, Value, value_of
from ray_al.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The changes that a user asks for, besides those of the images.

    Attributes:
        added: name of a class -> the id or colour that it has in masks; None for the next id.
        renamed: old name of a class -> new name.
        budget: the whole budget, as `budget.amount` is written; None leaves it as it is.
        overrides: `KEY=VALUE` each; paths are relative to the working directory.
    """

    added: Mapping[str, Value | None] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    budget: str | None = None
    overrides: Sequence[str] = ()

    @property
    def changes_classes(self) -> bool:
        """Return whether a class is added or renamed."""
        return bool(self.added or self.renamed)


def read_wanted(
    add_classes: Sequence[str] = (),
    rename_classes: Sequence[str] = (),
    budget: str | None = None,
    overrides: Sequence[str] = (),
) -> Wanted:
    """Return what the options of `ray-al extend` mean.

    Args:
        add_classes: `NAME` or `NAME=VALUE` each, with the id or colour of the class in masks.
        rename_classes: `OLD=NEW` each.
        budget: a count or share, as `budget.amount` takes it.
        overrides: `KEY=VALUE` each.

    Raises:
        ConfigError: an option is malformed, or a name is given twice.
    """
    added: dict[str, Value | None] = {}
    for text in add_classes:
        name, separator, value = text.partition("=")
        key = f"--add-class {text!r}"
        _check_name(name, key)
        if name in added:
            raise ConfigError(f"{key}: {name!r} is given twice; give it once")
        added[name] = _value(value, key) if separator else None
    renamed: dict[str, str] = {}
    for text in rename_classes:
        old, separator, new = text.partition("=")
        key = f"--rename-class {text!r}"
        if not separator or not old:
            raise ConfigError(f"{key}: expected OLD=NEW, for example --rename-class car=vehicle")
        _check_name(new, key)
        if old in renamed:
            raise ConfigError(f"{key}: {old!r} is renamed twice; give it once")
        renamed[old] = new
    return Wanted(added=added, renamed=renamed, budget=budget, overrides=tuple(overrides))


def _check_name(name: str, key: str) -> None:
    if not name.strip() or name != name.strip():
        raise ConfigError(f"{key}: {name!r} is no name; give one without blanks round it")
    if name == IGNORE:
        raise ConfigError(f"{key}: {IGNORE!r} means 'no label'; give the class another name")


def _value(text: str, key: str) -> Value:
    try:
        return value_of(text)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None

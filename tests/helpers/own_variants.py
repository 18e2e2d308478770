"""Variants of a user's own, whose contract suites `pytest --own` runs too."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

SETTINGS = (
    "budget.start_rule",
    "budget.unit",
    "data.dataset",
    "features.store",
    "features.views",
    "label",
    "label.annotator",
    "model.backbone",
    "model.head",
    "regions",
    "strategy.acquisition",
    "strategy.batch",
    "strategy.offer",
    "strategy.passes",
    "train.loss",
    "train.semi",
)
"""The settings whose families have a suite that takes variants from outside."""
_given: dict[str, list[str]] = {}


def take(options: list[str]) -> None:
    """Take what `--own` gave, which replaces what was given before.

    Args:
        options: `SETTING=package.module:Class`, with one of SETTINGS.

    Raises:
        ValueError: an option is none of these; the message says what to write.
    """
    found: dict[str, list[str]] = {}
    for option in options:
        setting, _, name = option.partition("=")
        if setting not in SETTINGS or ":" not in name:
            known = ", ".join(SETTINGS)
            raise ValueError(
                f"--own {option}: write SETTING=package.module:Class; the settings are {known}"
            )
        found.setdefault(setting, []).append(name)
    _given.clear()
    _given.update(found)


def own(setting: str) -> list[str]:
    """Return the variants that were given for a setting, as `package.module:Class`."""
    return _given.get(setting, [])


def example_of(kind: str, name: str) -> Callable[..., Any]:
    """Return a function that stands beside a variant in its module and makes an example for it.

    Args:
        kind: the variant, as `package.module:Class`.
        name: what the function is called.

    Raises:
        LookupError: the module lacks it.
    """
    module = kind.partition(":")[0]
    function: Callable[..., Any] | None = getattr(import_module(module), name, None)
    if function is None:
        raise LookupError(f"{module} lacks the function {name}, by which the suite tests {kind}")
    return function

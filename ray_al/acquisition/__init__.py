"""Acquisition functions: one class per function, listed in `core/families/acquisition.py`."""

import difflib
from collections.abc import Mapping

from ray_al.acquisition.acquisition import (
    Acquisition,
    ClassStats,
    LogitsAcquisition,
    ViewsAcquisition,
)
from ray_al.acquisition.classes import class_maps, final_scores
from ray_al.acquisition.custom import check_pixel_output, class_of_function
from ray_al.core.errors import ConfigError
from ray_al.core.families.acquisition import (
    ACQUISITION_ENTRIES,
    ACQUISITION_SETTINGS,
    FunctionEntry,
)
from ray_al.core.family import Family
from ray_al.core.imports import import_function
from ray_al.core.strategy import StrategyConfig


class AcquisitionFamily(Family[Acquisition]):
    """The family of acquisition functions; a user's own may also be a plain function of logits."""

    def find(self, kind: str) -> type[Acquisition]:
        """Return the class of that name.

        Raises:
            ConfigError: there is none, with the nearest known name; or the user's own function
                cannot be imported or called.
        """
        if kind in self.kinds:
            return super().find(kind)
        if ":" not in kind:
            near = difflib.get_close_matches(kind, self.kinds, n=1, cutoff=0.4)
            known = ", ".join(self.kinds)
            hint = f"did you mean {near[0]!r}?" if near else f"known names: {known}"
            raise ConfigError(
                f"{self.key} {kind!r}: unknown acquisition function; {hint} "
                "(or package.module:function)"
            )
        found = import_function(
            self.key, kind, wanted="a function of (N, C, H, W) logits that returns (N, H, W) scores"
        )
        if isinstance(found, type) and issubclass(found, Acquisition):
            return super().find(kind)
        return class_of_function(kind, found)


FUNCTIONS = AcquisitionFamily(
    "strategy.acquisition",
    Acquisition,
    {name: entry.place for name, entry in ACQUISITION_ENTRIES.items()},
    takes_word=True,
)


def find_acquisition(name: str) -> Acquisition:
    """Return the function of that name with its default settings.

    Args:
        name: a name of the table, or `package.module:function` or `package.module:Class` for a
            user's own.

    Raises:
        ConfigError: there is none; the message gives the nearest known name, or the fault of the
            user's own.
    """
    return FUNCTIONS.find(name).model_validate({"kind": name})


def open_acquisition(strategy: StrategyConfig) -> Acquisition:
    """Return the function of a strategy with the settings that the strategy gives it.

    Raises:
        ConfigError: as `find_acquisition`.
    """
    given = {
        key: value for key in ACQUISITION_SETTINGS if (value := getattr(strategy, key)) is not None
    }
    return FUNCTIONS.find(strategy.acquisition).model_validate(
        {"kind": strategy.acquisition, **given}
    )


def entry_of(function: Acquisition) -> FunctionEntry:
    """Return what the table of the built-in functions would say of `function`."""
    settings = function.model_dump(mode="json", exclude={"kind"})
    cls = type(function)
    return FunctionEntry(f"{cls.__module__}:{cls.__qualname__}", function.inputs, settings)


ACQUISITIONS: Mapping[str, Acquisition] = {kind: find_acquisition(kind) for kind in FUNCTIONS.kinds}
"""The built-in functions with their default settings, by name."""


def list_acquisitions() -> list[dict[str, str]]:
    """Return the name and source of every built-in acquisition function."""
    return [{"name": name, "paper": function.paper} for name, function in ACQUISITIONS.items()]


__all__ = [
    "ACQUISITIONS",
    "FUNCTIONS",
    "Acquisition",
    "ClassStats",
    "LogitsAcquisition",
    "ViewsAcquisition",
    "check_pixel_output",
    "class_maps",
    "entry_of",
    "final_scores",
    "find_acquisition",
    "list_acquisitions",
    "open_acquisition",
]

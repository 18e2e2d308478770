"""The settings that a sweep tries: taken from its space, and turned into configurations of runs."""

import copy
import itertools
import math
from typing import Any

from ray_al.core.config import RunConfig, apply_setting, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.acquisition import ACQUISITION_SETTINGS
from ray_al.core.seeding import generator
from ray_al.core.validation import family_at
from ray_al.driver.checks import check_config
from ray_al.sweep.config import ParameterSpace, SweepConfig
from ray_al.sweep.effective import canonical, find_entry
from ray_al.sweep.naming import Setting

MAX_GRID = 10_000


def make_config(sweep: SweepConfig, setting: Setting, seed: int, name: str) -> RunConfig:
    """Return the configuration of the run with `setting` and `seed`.

    Raises:
        ConfigError: the setting is no valid run; the message names the setting and the problem.
    """
    values = copy.deepcopy(sweep.run)
    for key in sorted(setting, key=_kinds_first):
        if not _is_of_another_kind(sweep, setting, key):
            apply_setting(values, key, setting[key])
    values.update(name=name, seed=seed)
    apply_setting(values, "cluster.host", "process")  # the trial is the host
    values.pop("tracking", None)  # Tune's callbacks do it
    shown = ", ".join(f"{key}={value!r}" for key, value in setting.items()) or "base"
    config = _without_idle_lazy(
        parse_config(values, source=f"sweep {sweep.name}, {shown}"), setting
    )
    annotator = config.label.annotator
    if not annotator.answers_at_once:
        raise ConfigError(
            f"sweep {sweep.name}: label.annotator={annotator.kind!r}: "
            "a sweep cannot wait for people; use 'simulated'"
        )
    return config


def _kinds_first(key: str) -> tuple[int, bool]:
    """Return the sorting key that applies a kind before the settings of that kind."""
    return key.count("."), not key.endswith(".kind")


def _without_idle_lazy(config: RunConfig, setting: Setting) -> RunConfig:
    """Drop lazy scoring of the base for an acquisition function that looks at no image.

    Such a function has nothing to save, and the base means its lazy scoring for the others. A
    setting that asks for lazy scoring itself keeps it, to be refused.
    """
    needs_model = find_entry(config.strategy.acquisition).needs_model
    if not config.strategy.lazy or needs_model or _sets(setting, "strategy.lazy"):
        return config
    strategy = config.strategy.model_copy(update={"lazy": None})
    return config.model_copy(update={"strategy": strategy})


def _is_of_another_kind(sweep: SweepConfig, setting: Setting, key: str) -> bool:
    """Return whether a key belongs to another kind than the setting has.

    If a space varies both `strategy.batch.kind` and `strategy.batch.beta`, then beta concerns only
    the kinds that have it.
    """
    place, _, name = key.rpartition(".")
    if place == "strategy" and name in ACQUISITION_SETTINGS:
        return _is_of_another_function(sweep, setting, name)
    kind, axis = setting.get(f"{place}.kind"), sweep.space.get(f"{place}.kind")
    family = family_at(RunConfig, place)
    if family is None or axis is None or name == "kind":
        return False
    kinds = (kind, *axis.values)
    if not all(isinstance(other, str) for other in kinds):
        return False
    has_it = {other for other in kinds if name in family.find(other).model_fields}
    return bool(has_it) and kind not in has_it


def _is_of_another_function(sweep: SweepConfig, setting: Setting, name: str) -> bool:
    """Return whether a setting of `strategy` belongs to another function on an axis."""
    function = setting.get("strategy.acquisition")
    axis = sweep.space.get("strategy.acquisition")
    readers = ACQUISITION_SETTINGS[name]
    return (
        axis is not None
        and function not in readers
        and any(value in readers for value in axis.values)
    )


def _sets(setting: Setting, key: str) -> bool:
    """Return whether a setting gives `key` itself, or a key inside it."""
    return any(given == key or given.startswith(f"{key}.") for given in setting)


def fixed_settings(sweep: SweepConfig) -> list[Setting]:
    """Return the settings that are known beforehand, the reference first, without repetitions.

    With Optuna, only the reference is known beforehand.

    Raises:
        ConfigError: a setting is no valid run, or the grid is too large.
    """
    settings: list[Setting] = [dict(sweep.reference)]
    if sweep.search.kind == "grid":
        settings += _grid(sweep)
    elif sweep.search.kind == "random":
        settings += _random(sweep)
    seen: dict[str, Setting] = {}
    for setting in settings:
        config = make_config(sweep, setting, sweep.seeds[0], "check")
        seen.setdefault(canonical(config), setting)
    return list(seen.values())


def _grid(sweep: SweepConfig) -> list[dict[str, Any]]:
    axes = {key: space.values for key, space in sweep.space.items() if space.kind == "grid"}
    size = math.prod(len(values) for values in axes.values())
    if size > MAX_GRID:
        raise ConfigError(
            f"space: the grid has {size} settings, more than {MAX_GRID}; "
            "take search.kind=random with a number of trials"
        )
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _random(sweep: SweepConfig) -> list[Setting]:
    """Return `search.trials` draws, at least one per grid point."""
    grid = _grid(sweep)
    assert sweep.search.trials is not None
    drawn: list[Setting] = []
    for number in range(max(sweep.search.trials, len(grid))):
        rng = generator("sweep", sweep.search.seed, number)
        setting = dict(grid[number % len(grid)])
        for key, space in sweep.space.items():
            if space.kind != "grid":
                setting[key] = value_at(space, rng.random())
        drawn.append({key: setting[key] for key in sweep.space})
    return drawn


def value_at(space: ParameterSpace, position: float) -> Any:
    """Return the value of a choice or range at `position` in [0, 1)."""
    if space.kind == "choice":
        return space.values[int(position * len(space.values))]
    low, high = space.values
    if space.kind == "int_range":
        return int(low + position * (high - low + 1))
    if space.kind == "log_range":
        return float(f"{math.exp(math.log(low) + position * (math.log(high) - math.log(low))):.6g}")
    return float(f"{low + position * (high - low):.6g}")


def check_space(sweep: SweepConfig) -> None:
    """Check what a search may still suggest: every choice, and both ends of every range.

    One value is changed at a time.

    Raises:
        ConfigError: a value makes no valid run; the message names key and value.
    """
    if sweep.search.kind == "grid":
        return
    first = {key: space.values[0] for key, space in sweep.space.items()}
    for key, space in sweep.space.items():
        for value in space.values:
            check_config(make_config(sweep, {**first, key: value}, sweep.seeds[0], "check"))

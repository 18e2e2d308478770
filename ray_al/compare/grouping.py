"""Groups of comparable runs: runs of one group differ in their seed only."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray_al.compare.labels import group_labels
from ray_al.compare.run_result import Group, Grouped, RunResult
from ray_al.compare.runs import NAME_DIGITS, default_values, is_within
from ray_al.core.errors import ConfigError
from ray_al.core.families.units import UNITS
from ray_al.core.shares import percent

RECIPE = (
    "data",
    "model",
    "features",
    "train",
    "final",
    "budget.unit",
    "budget.start",
    "budget.start_rule",
)
"""Sections and keys in which runs must agree: the pool, and how a model is made from labels."""
MAX_SHOWN = 5
"""Runs that a message names."""


def choose_measure(runs: Sequence[RunResult], measure: str | None) -> tuple[str, list[RunResult]]:
    """Return the score by which runs are compared, and the runs with it as their mIoU.

    Args:
        measure: `miou` of the models that choose, or `final_miou` of those that are measured; None
            for `final_miou` if every finished run has it, else `miou`.

    Raises:
        ConfigError: a run was never measured.
    """
    finished = [run for run in runs if run.finished]
    bare = [run.uri for run in finished if not run.measured]
    if measure is None:
        measure = "miou" if bare or not finished else "final_miou"
    if measure == "miou":
        return measure, list(runs)
    if bare:
        raise ConfigError(
            f"--measure final_miou: {bare[0]} has no measured models; "
            "name final.budgets in new runs, or give --measure miou"
        )
    return measure, [_as_measured(run) if run.finished else run for run in runs]


def _as_measured(run: RunResult) -> RunResult:
    """Return the run with the scores, and the recipe, of its measured models."""
    return replace(run, rows=run.measured, values={**run.values, **run.recipe})


def group_runs(
    runs: Sequence[RunResult],
    without_miou: Sequence[tuple[str, str]] = (),
    *,
    varied: set[str],
    allowed: Sequence[str] = (),
) -> Grouped:
    """Group the largest set of comparable runs, and exclude the others with the reason.

    Args:
        without_miou: (run, reason) of those that have no model or no mIoU yet; excluded too.
        varied: keys that a sweep varies on purpose; they may be keys of the recipe.
        allowed: further keys that may differ.

    Raises:
        ConfigError: two runs of one group have the same seed, or nothing is left to compare.
    """
    apart = [*without_miou, *((run.uri, _unfinished(run)) for run in runs if not run.finished)]
    finished = [run for run in runs if run.finished]
    if not finished:
        listed = "".join(f"; {uri}: {reason}" for uri, reason in apart[:MAX_SHOWN])
        raise ConfigError(
            "no run can be compared; finish unfinished ones with `ray-al resume`" + listed
        )
    alike, others = _split(finished, varied | set(allowed))
    alike = _with_defaults(alike)
    keys = _differing_keys(alike)
    return Grouped(
        groups=tuple(_groups(alike, keys)),
        apart=(*apart, *others),
        keys=tuple(keys),
        axis=_axis(alike, keys),
    )


def _split(
    runs: Sequence[RunResult], free: set[str]
) -> tuple[list[RunResult], list[tuple[str, str]]]:
    """Return the runs of the most common recipe, and (run, reason) of the others."""
    has_validation = all(run.validation for run in runs)  # early versions did not record it
    recipes = [_recipe(run, free, has_validation) for run in runs]
    texts = [json.dumps(recipe, sort_keys=True) for recipe in recipes]
    chosen = Counter(texts).most_common(1)[0][0]
    base = json.loads(chosen)
    alike, others = [], []
    for run, text in zip(runs, texts, strict=True):
        if text == chosen:
            alike.append(run)
        else:
            reason = f"not comparable: {_differences(json.loads(text), base)}"
            others.append((run.uri, reason))
    return alike, others


def _recipe(run: RunResult, free: set[str], has_validation: bool) -> dict[str, Any]:
    """Return the values in which a run must agree with the others, as far as they are no defaults.

    Results that were exported lack the keys that came later.
    """
    defaults = default_values()
    kept = {
        key: value
        for key, value in run.values.items()
        if value != defaults.get(key) and is_within(key, RECIPE) and not is_within(key, free)
    }
    recipe = {**kept, "pool": run.pool[:NAME_DIGITS]}
    return {**recipe, "validation": run.validation} if has_validation else recipe


def _differences(values: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    values, base = ({**default_values(), **some} for some in (values, base))
    keys = sorted(key for key in {*values, *base} if values.get(key) != base.get(key))
    return ", ".join(f"{key} is {values.get(key)!r}, the others' {base.get(key)!r}" for key in keys)


def _differing_keys(runs: Sequence[RunResult]) -> list[str]:
    """Return the keys that have several values among the runs that have them.

    A setting that a strategy does not read is missing in its runs. If a section is null, a number
    or a word in some runs, its keys are among those returned, even if all other runs have the same
    values for them; so is the number or the word.
    """
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.values.items():
            values.setdefault(key, set()).add(json.dumps(value))
    two_forms = values.keys() & {section for key in values for section in _sections(key)}
    return sorted(
        key
        for key, found in values.items()
        if len(found) > 1
        or (key in two_forms and found != {"null"})
        or any(section in two_forms for section in _sections(key))
    )


def _sections(key: str) -> Iterator[str]:
    """Yield the sections that a dotted key lies in."""
    while "." in key:
        key = key.rpartition(".")[0]
        yield key


def _with_defaults(runs: Sequence[RunResult]) -> list[RunResult]:
    """Return the runs with defaults for what others have as a section and they have in no form.

    Results that were exported lack the keys that came later.
    """
    sections = {section for run in runs for key in run.values for section in _sections(key)}
    words = {key: value for key, value in default_values().items() if key in sections}

    def told(run: RunResult) -> RunResult:
        known = {*run.values, *(section for key in run.values for section in _sections(key))}
        missing = {key: value for key, value in words.items() if key not in known}
        return replace(run, values={**run.values, **missing}) if missing else run

    return [told(run) for run in runs]


def _unfinished(run: RunResult) -> str:
    last = run.rows[-1]
    share = f"{percent(last['labelled_fraction'])} %"
    return f"not finished: {share} labelled after cycle {last['cycle']}"


def _axis(runs: Sequence[RunResult], keys: Sequence[str]) -> str:
    """Return the budget axis that means the same in all runs.

    This is the labelled share of the pool in the budget's unit, if that is a share of the same
    whole in all runs. If runs divide images into other regions, or count budgets in other units, it
    is not. Then all of them spend pixels of the same images, or clicks if all budgets are clicks.
    """
    if not any(key == "budget.unit" or key.startswith("regions.") for key in keys):
        return "share"
    axes = {UNITS.find(_unit(run)).curve_axis for run in runs}
    return axes.pop() if len(axes) == 1 else "pixel_share"


def _unit(run: RunResult) -> str:
    """Return the kind of a run's unit.

    A unit with settings of its own has one key below `budget.unit` for each of them.
    """
    return str(run.values.get("budget.unit", run.values.get("budget.unit.kind")))


def _groups(runs: Sequence[RunResult], keys: Sequence[str]) -> Iterator[Group]:
    by_setting: dict[str, list[RunResult]] = {}
    for run in runs:
        values = json.dumps([run.values.get(key) for key in keys])
        by_setting.setdefault(values, []).append(run)
    groups = [sorted(same, key=lambda run: run.seed) for same in by_setting.values()]
    settings = [
        {key: same[0].values[key] for key in keys if key in same[0].values} for same in groups
    ]
    labels = group_labels(
        settings, [same[0].values for same in groups], [_name_in_sweeps(same) for same in groups]
    )
    for label, setting, same in zip(labels, settings, groups, strict=True):
        _check_seeds(same)
        yield Group(label=label, setting=setting, runs=tuple(same))


def _name_in_sweeps(runs: Sequence[RunResult]) -> str:
    """Return the name that the sweeps of the runs give to their setting; empty without one name."""
    names = {run.group for run in runs}
    return names.pop() if len(names) == 1 else ""


def _check_seeds(runs: Sequence[RunResult]) -> None:
    """Refuse two runs of one group with the same seed."""
    counts = Counter(run.seed for run in runs)
    repeated = [seed for seed, count in counts.items() if count > 1]
    if repeated:
        first, second = [run.uri for run in runs if run.seed == repeated[0]][:2]
        raise ConfigError(
            f"{first} and {second}: the same settings with the same seed {repeated[0]}; "
            "give one of them"
        )

"""Runs read for comparison: from ledgers and configurations alone; grouped by what differs, set apart where not comparable."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ray_al.core.config import GROUP_KEYS, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.units import UNITS
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.driver.create import images_digest
from ray_al.driver.pool import read_table
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.records import DriverStarted
from ray_al.report.metrics import read_mean_miou
from ray_al.report.rows import curve_rows, measured_rows
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.endpoint import endpoint_facts
from ray_al.sweep.labels import group_labels
from ray_al.sweep.plan import effective_values, read_trials, run_uri
from ray_al.sweep.results import is_results, read_results
from ray_al.sweep.run_result import Group, Grouped, RunResult
from ray_al.sweep.tuner import FILE, read_sweep

NO_EFFECT = ("name", "seed", "cluster", "report", "final", "tracking")
"""Sections that do not change what a run finds."""
NO_EFFECT_KEYS = (
    "data.root",  # the pool has a name of its own, wherever it lies
    "data.cache_gb",
    "label.annotator",
    "score.workers",
    "score.threads",
    "score.batch_size",
    "score.shard_size",
    "score.gpus_per_worker",
    "score.max_quarantined",
    "train.checkpoint_interval_s",
    "train.keep_workers",
    "train.max_failures",
    "train.threads",
)
RECIPE = ("data", "model", "features", "train")
"""Sections in which runs must agree: the images that count, and how a model is made from labels."""
RECIPE_KEYS = ("budget.unit", "budget.start", "budget.start_rule")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was found at the given places.

    Attributes:
        begun: (run, reason) of those that have come to no model yet.
        varied: keys that a sweep varies.
        sweeps: place of each sweep -> its file and the settings of its groups.
    """

    runs: tuple[RunResult, ...]
    begun: tuple[tuple[str, str], ...]
    varied: frozenset[str]
    sweeps: Mapping[str, tuple[SweepConfig, Mapping[str, Mapping[str, Any]]]]


@before_work()
def read_runs(places: Sequence[str]) -> Reading:
    """The runs of run directories, sweep directories and folders of results.

    Raises:
        ConfigError: a place is none of them.
    """
    runs: dict[str, RunResult] = {}
    begun: dict[str, str] = {}
    varied: set[str] = set()
    sweeps = {}
    for place in dict.fromkeys(places):
        storage = Storage(place)
        if is_results(storage):
            sweep, settings, found = read_results(storage)
            runs.update((run.uri, run) for run in found)
            if sweep is not None:
                sweeps[storage.root] = sweep, settings
                varied |= set(sweep.space) | set(sweep.reference)
        elif storage.exists(FILE):
            sweep, trials = read_sweep(storage), read_trials(storage)
            sweeps[storage.root] = sweep, {trial.group: trial.setting for trial in trials}
            varied |= set(sweep.space) | set(sweep.reference)
            for trial in trials:
                _read(
                    run_uri(storage.root, trial.name),
                    runs,
                    begun,
                    sweep=storage.root,
                    group=trial.group,
                )
        elif storage.exists(Journal.FIRST):
            _read(storage.root, runs, begun)
        else:
            raise ConfigError(
                f"{place}: neither a run directory (no {Journal.FIRST}), nor a sweep directory (no {FILE}), nor a folder of results; "
                "give one that ray-al made"
            )
    return Reading(
        runs=tuple(runs.values()),
        begun=tuple(begun.items()),
        varied=frozenset(varied),
        sweeps=sweeps,
    )


def _read(
    uri: str, runs: dict[str, RunResult], begun: dict[str, str], *, sweep: str = "", group: str = ""
) -> None:
    run = read_run(uri) if Storage(uri).exists(Journal.FIRST) else None
    if run is None or not run.rows:
        begun[uri] = "has not trained a model yet"
    else:
        runs[run.uri] = replace(run, sweep=sweep, group=group)


def _is_within(key: str, sections: Iterable[str]) -> bool:
    """Whether a dotted key is one of `sections`, or lies in one of them."""
    return any(key == one or key.startswith(f"{one}.") for one in sections)


def read_run(uri: str) -> RunResult:
    """One run directory as numbers; opens no image."""
    storage = Storage(uri)
    events = Journal(storage).events
    state, config = fold(events), read_config(storage, events)
    values = {
        key: value
        for key, value in _flat(effective_values(config, exclude=set(NO_EFFECT)))
        if not _is_within(key, NO_EFFECT_KEYS)
    }
    if weights := state.created.weights_sha256:  # they may lie elsewhere, and are the same
        values["model.weights"] = f"sha256 {weights[:12]}"
    last = state.last_trained
    return RunResult(
        uri=storage.root,
        seed=config.seed,
        values=values,
        pool=state.created.images or images_digest(read_table(storage, state.created.manifest)),
        class_names=state.created.class_names,
        rows=(rows := tuple(curve_rows(state))),
        measured=tuple(measured_rows(state)),
        recipe=_final_recipe(config),
        seconds=sum(row["cycle_seconds"] for row in rows),
        class_pixels=last.class_pixels if last else (),
        num_pixels=state.created.num_pixels,
        num_images=state.created.num_images,
        finished=state.finished is not None,
        full=read_mean_miou(storage, "upper_bound"),
        unit_total=UNITS.find(state.created.unit).of_pool(state.created.sizes),
        validation=(state.created.val_digest or "")[:12],
        code="+".join(
            dict.fromkeys(
                event.record.code
                for event in events
                if isinstance(event.record, DriverStarted) and event.record.code is not None
            )
        ),
        config_digest=state.created.config.sha256[:12],
    )


def _final_recipe(config: RunConfig) -> dict[str, Any]:
    """What the scores of measured models depend on, beside what all models of the run do."""
    final = config.with_recipe(config.final.recipe)
    train = final.train.model_dump(mode="json", exclude=set(GROUP_KEYS))
    return {**dict(_flat(train, "final.train.")), "final.image_size": list(final.data.image_size)}


def choose_measure(runs: Sequence[RunResult], measure: str | None) -> tuple[str, list[RunResult]]:
    """What runs are compared by, and the runs with that as their mIoU.

    Args:
        measure: `miou` of the models that choose, `final_miou` of those that are measured; None: the second where every finished run has it.

    Raises:
        ConfigError: a run was never measured.
    """
    bare = [run.uri for run in runs if run.finished and not run.measured]
    if measure is None:
        measure = "miou" if bare or not any(run.finished for run in runs) else "final_miou"
    if measure == "miou":
        return measure, list(runs)
    if bare:
        raise ConfigError(
            f"--measure final_miou: {bare[0]} has no measured models; name final.budgets in new runs, or give --measure miou"
        )
    return measure, [
        replace(run, rows=run.measured, values={**run.values, **run.recipe})
        if run.finished
        else run
        for run in runs
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def endpoints(reading: Reading) -> list[dict[str, Any]]:
    """The facts of each sweep that names an endpoint."""
    facts = []
    for place, (sweep, settings) in reading.sweeps.items():
        if sweep.endpoint is None:
            continue
        scores: dict[str, dict[int, float]] = {group: {} for group in settings}
        for run in reading.runs:
            if run.sweep == place and run.finished:
                values = [
                    run.score_at(budget, sweep.endpoint.measure)
                    for budget in sweep.endpoint.budgets
                ]
                if None not in values:
                    scores.setdefault(run.group, {})[run.seed] = float(
                        np.mean([value for value in values if value is not None])
                    )
        facts.append(endpoint_facts(sweep.name, sweep.endpoint, scores, settings))
    return facts


def group_runs(
    runs: Sequence[RunResult],
    begun: Sequence[tuple[str, str]] = (),
    *,
    varied: set[str],
    allowed: Sequence[str] = (),
) -> Grouped:
    """Groups of runs that are comparable, the largest such set; the others apart, with the keys that set them apart.

    Args:
        begun: what has come to no model yet, with the reason; set apart too.
        varied: keys that a sweep varies on purpose; they may be keys of the recipe.
        allowed: further keys that may differ.

    Raises:
        ConfigError: two runs of one group have the same seed, or nothing is left to compare.
    """
    free = varied | set(allowed)
    apart = [*begun, *((run.uri, _unfinished(run)) for run in runs if not run.finished)]
    whole = [run for run in runs if run.finished]
    if not whole:
        raise ConfigError(
            "no run is finished; finish them with `ray-al resume`"
            + "".join(f"; {uri}: {reason}" for uri, reason in apart[:5])
        )
    recipes = {id(run): _recipe(run, free) for run in whole}
    if all(run.validation for run in whole):  # runs of earlier versions do not tell it
        for run in whole:
            recipes[id(run)]["validation"] = run.validation
    counts = Counter(json.dumps(recipe, sort_keys=True) for recipe in recipes.values())
    chosen = counts.most_common(1)[0][0]
    base = json.loads(chosen)
    alike = []
    for run in whole:
        recipe = recipes[id(run)]
        if json.dumps(recipe, sort_keys=True) == chosen:
            alike.append(run)
        else:
            apart.append(
                (run.uri, "not comparable: " + _differences(json.loads(json.dumps(recipe)), base))
            )
    keys = sorted(
        key
        for key in {key for run in alike for key in run.values}
        if len(_values_of(alike, key)) > 1
    )
    return Grouped(
        groups=tuple(_groups(alike, keys)),
        apart=tuple(apart),
        keys=tuple(keys),
        axis=_axis(alike, keys),
    )


def _axis(runs: Sequence[RunResult], keys: Sequence[str]) -> str:
    """The labelled share of the pool in the budget's unit, where that is a share of the same whole in all runs.

    Where images are divided into other regions, or budgets are in other units, it is a share of something else in each run. All of them
    spend pixels of the same images, or clicks where all count their budgets in clicks.
    """
    if not any(key == "budget.unit" or key.startswith("regions.") for key in keys):
        return "share"
    axes = {UNITS.find(_unit(run)).curve_axis for run in runs}
    return axes.pop() if len(axes) == 1 else "pixel_share"


def _unit(run: RunResult) -> str:
    """The kind of a run's unit: a unit with settings of its own has a key below `budget.unit` for each."""
    return str(run.values.get("budget.unit", run.values.get("budget.unit.kind")))


def _values_of(runs: Sequence[RunResult], key: str) -> set[str]:
    """What the runs that have the key have there; a setting that a strategy does not look at is missing in its runs."""
    return {json.dumps(run.values[key]) for run in runs if key in run.values}


def _unfinished(run: RunResult) -> str:
    return f"not finished: {100 * run.rows[-1]['labelled_fraction']:.2f} % labelled after cycle {run.rows[-1]['cycle']}"


def _is_at(key: str, places: Iterable[str]) -> bool:
    """Whether a key is one of `places`, or lies inside one."""
    return any(key == one or key.startswith(one + ".") for one in places)


def _recipe(run: RunResult, free: set[str]) -> dict[str, Any]:
    counts = (*RECIPE, "final", *RECIPE_KEYS)
    kept = {
        key: value
        for key, value in run.values.items()
        if _is_within(key, counts) and not _is_within(key, free)
    }
    return {**kept, "pool": run.pool[:12]}


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    keys = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    return ", ".join(f"{key} is {one.get(key)!r}, the others' {other.get(key)!r}" for key in keys)


def _groups(runs: Sequence[RunResult], keys: Sequence[str]) -> Iterator[Group]:
    by_setting: dict[str, list[RunResult]] = {}
    for run in runs:
        by_setting.setdefault(json.dumps([run.values.get(key) for key in keys]), []).append(run)
    groups = [sorted(same, key=lambda run: run.seed) for same in by_setting.values()]
    settings = [
        {key: same[0].values[key] for key in keys if key in same[0].values} for same in groups
    ]
    labels = group_labels(settings, [same[0].values for same in groups])
    for label, setting, same in zip(labels, settings, groups, strict=True):
        repeated = [seed for seed, count in Counter(run.seed for run in same).items() if count > 1]
        if repeated:
            both = [run.uri for run in same if run.seed == repeated[0]]
            raise ConfigError(
                f"{both[0]} and {both[1]}: the same settings with the same seed {repeated[0]}; give one of them"
            )
        yield Group(label=label, setting=setting, runs=tuple(same))

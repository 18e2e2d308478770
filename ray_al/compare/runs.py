"""Runs read for a comparison, from their journals and configurations alone: no image is opened."""

import functools
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray_al.compare.results import is_results, read_results
from ray_al.compare.run_result import RunResult
from ray_al.core.config import GROUP_KEYS, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.units import UNITS
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.datasets.manifest import images_digest
from ray_al.driver.pool import read_table
from ray_al.ledger import Event, Journal, State, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.extended import changes_recipe
from ray_al.ledger.records import (
    ConfigChanged,
    DriverStarted,
    ModelsMeasured,
    RunCreated,
    RunExtended,
)
from ray_al.report.metrics import read_miou
from ray_al.report.rows import curve_rows, measured_rows
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.directory import FILE, read_sweep, read_trials, run_uri
from ray_al.sweep.effective import effective_values
from ray_al.sweep.naming import Setting

logger = logging.getLogger(__name__)
NO_EFFECT = ("name", "seed", "cluster", "report", "final", "tracking")
"""Sections that do not change what a run finds."""
NO_EFFECT_KEYS = (
    "data.root",  # the pool has a digest of its own, wherever it is stored
    "data.cache_gb",
    "label.annotator",
    "scoring.workers",
    "scoring.threads",
    "scoring.batch_size",
    "scoring.shard_size",
    "scoring.gpus_per_worker",
    "scoring.max_quarantined",
    "train.checkpoint_interval_s",
    "train.keep_workers",
    "train.max_failures",
    "train.threads",
)
"""Keys, with all keys inside them, that do not change what a run finds."""
NAME_DIGITS = 12
"""Digits of a digest that name a file's content."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The runs at the given places.

    Attributes:
        without_miou: (run, reason) of those that have no model or no mIoU yet.
        varied: keys that a sweep varies.
        sweeps: by place, each sweep's file and the settings of its groups.
    """

    runs: tuple[RunResult, ...]
    without_miou: tuple[tuple[str, str], ...]
    varied: frozenset[str]
    sweeps: Mapping[str, tuple[SweepConfig, Mapping[str, Setting]]]


@dataclass
class _Found:
    """What is found place by place; a run that is found twice counts once."""

    runs: dict[str, RunResult] = field(default_factory=dict)
    without_miou: dict[str, str] = field(default_factory=dict)
    sweeps: dict[str, tuple[SweepConfig, Mapping[str, Setting]]] = field(default_factory=dict)

    def add_results(self, storage: Storage) -> None:
        sweep, settings, runs = read_results(storage)
        self.runs.update((run.uri, run) for run in runs)
        if sweep is not None:
            self.sweeps[storage.root] = sweep, settings

    def add_sweep(self, storage: Storage) -> None:
        sweep, trials = read_sweep(storage), read_trials(storage)
        self.sweeps[storage.root] = sweep, {trial.group: trial.setting for trial in trials}
        for trial in trials:
            self.add_run(run_uri(storage.root, trial.name), sweep=storage.root, group=trial.group)

    def add_run(self, uri: str, *, sweep: str = "", group: str = "") -> None:
        run = read_run(uri) if Storage(uri).exists(Journal.FIRST) else None
        if run is None or not run.rows:
            self.without_miou[uri] = "has not trained a model yet"
        elif run.rows[-1]["miou"] is None:
            self.without_miou[uri] = (
                "has no validation images (data.val_split: none), and so no mIoU"
            )
        else:
            self.runs[run.uri] = replace(run, sweep=sweep, group=group)


@before_work()
def read_runs(places: Sequence[str]) -> Reading:
    """Read the runs of run directories, sweep directories and folders of results.

    Raises:
        ConfigError: a place is none of these.
    """
    found = _Found()
    for place in dict.fromkeys(places):
        storage = Storage(place)
        if is_results(storage):
            found.add_results(storage)
        elif storage.exists(FILE):
            found.add_sweep(storage)
        elif storage.exists(Journal.FIRST):
            found.add_run(storage.root)
        else:
            raise ConfigError(
                f"{place}: neither a run directory (no {Journal.FIRST}), nor a sweep directory "
                f"(no {FILE}), nor a folder of results; give one that ray-al made"
            )
    varied: set[str] = set()
    for sweep, _ in found.sweeps.values():
        varied |= set(sweep.space) | set(sweep.reference)
    return Reading(
        runs=tuple(found.runs.values()),
        without_miou=tuple(found.without_miou.items()),
        varied=frozenset(varied),
        sweeps=found.sweeps,
    )


def read_run(uri: str) -> RunResult:
    """Read one run directory."""
    storage = Storage(uri)
    events = Journal(storage).events
    state, config = fold(events), read_config(storage, events)
    created = state.created
    # Shares are those of the pool that the run began with, as its budgets are. Shares of a pool
    # that grew would fall from one cycle to the next.
    of_first_pool = replace(state, sizes_at={})
    rows = tuple(curve_rows(of_first_pool))
    last = state.last_trained
    return RunResult(
        uri=storage.root,
        seed=config.seed,
        values=_values(config, state),
        pool=_pool(storage, events, state),
        class_names=created.class_names,
        rows=rows,
        measured=_measured(of_first_pool, events, storage.root),
        recipe=_final_recipe(config),
        seconds=sum(row["cycle_seconds"] for row in rows),
        class_pixels=last.class_pixels if last else (),
        num_pixels=created.num_pixels,
        num_images=created.num_images,
        finished=state.finished is not None,
        full=read_miou(storage, "upper_bound", config.final.recipe),
        unit_total=UNITS.find(created.unit).of_pool(created.sizes),
        validation=_validation_digest(state),
        code=_code(events),
        config_digest=created.config.sha256[:NAME_DIGITS],
    )


def _validation_digest(state: State) -> str:
    """Return what identifies the validation set: its images, and the masks that people made."""
    known = state.validation
    digest = state.created.val_digest or ""
    if known is not None and known.closed is not None:
        masks = (f"{mask.image_id} {mask.file.sha256}" for mask in known.closed.masks)
        digest = hashlib.sha256("\n".join([digest, *masks]).encode()).hexdigest()
    return digest[:NAME_DIGITS]


def _values(config: RunConfig, state: State) -> dict[str, Any]:
    """Return the configuration with dotted keys, without those that have no effect."""
    values = {
        key: value
        for key, value in _flat(effective_values(config, exclude=set(NO_EFFECT)))
        if not is_within(key, NO_EFFECT_KEYS)
    }
    weights = state.created.weights_sha256
    if weights:  # the same weights may be stored elsewhere
        values["model.weights"] = f"sha256 {weights[:NAME_DIGITS]}"
    return values


def _measured(state: State, events: Sequence[Event], uri: str) -> tuple[Mapping[str, Any], ...]:
    """Return the rows of measured models, without those of a recipe that has changed since."""
    known: set[int] = set()
    outdated: set[int] = set()
    for record in (event.record for event in events):
        if isinstance(record, ModelsMeasured):
            known.add(record.cycle)
        elif isinstance(record, ConfigChanged | RunExtended) and changes_recipe(record.changes):
            outdated |= known
    if outdated:
        logger.warning(
            "%s: the models that were measured in cycle %s are left out, as final.* has changed "
            "since and other models cannot be compared with them",
            uri,
            ", ".join(map(str, sorted(outdated))),
        )
    return tuple(row for row in measured_rows(state) if row["cycle"] not in outdated)


def _pool(storage: Storage, events: Sequence[Event], state: State) -> str:
    """Return the digest of a pool's images; of an extended run, of all pools that it had.

    Runs are comparable only if they were extended by the same images before the same cycles.
    """
    created = events[0].record
    assert isinstance(created, RunCreated)
    first = created.images or images_digest(read_table(storage, created.manifest))
    pools = [first, *(extension.images for extension in state.extensions)]
    if len(set(pools)) == 1:
        return first
    sizes = {size.num_images: cycle for cycle, size in sorted(state.sizes_at.items(), reverse=True)}
    return hashlib.sha256(repr((pools, sorted(sizes.items()))).encode()).hexdigest()


def _code(events: Iterable[Event]) -> str:
    """Return the digests of the versions of the code that worked on a run, `+` between them."""
    records = (event.record for event in events)
    codes = (record.code for record in records if isinstance(record, DriverStarted))
    return "+".join(dict.fromkeys(code for code in codes if code is not None))


@functools.cache
def default_values() -> Mapping[str, Any]:
    """Return the settings of a run whose configuration is empty, with dotted keys.

    A key that an exported result lacks is newer than its run, which did what the default does.
    """
    config = RunConfig()
    chosen = effective_values(config, exclude=set(NO_EFFECT))
    return {**dict(_flat(chosen)), **_final_recipe(config)}


def _final_recipe(config: RunConfig) -> dict[str, Any]:
    """Return the settings that only the scores of measured models depend on."""
    final = config.with_recipe(config.final.recipe)
    train = final.train.model_dump(mode="json", exclude=set(GROUP_KEYS))
    return {**dict(_flat(train, "final.train.")), "final.image_size": list(final.data.image_size)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_within(key: str, sections: Iterable[str]) -> bool:
    """Return whether a dotted key is one of `sections`, or lies inside one of them."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)

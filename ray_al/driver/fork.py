"""Begin a run with the events and files of another one.

Runs that differ in nothing but their strategy share the work up to the first model.
"""

from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from ray_al.acquisition import find_acquisition
from ray_al.core.config import DataConfig, FinalConfig, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.making import check_new
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.driver.budget import check_budget, whole_budget
from ray_al.driver.create import begin_run, resolve_batch_size
from ray_al.driver.cycles import budget_to_measure
from ray_al.driver.lease import Lease
from ray_al.driver.pool import read_table
from ray_al.ledger import RUN, Event, Journal, fold
from ray_al.ledger.config import config_facts, read_config
from ray_al.ledger.events import file_refs, is_superseded
from ray_al.ledger.records import (
    CycleTrained,
    ModelMeasured,
    ModelsMeasured,
    RegionsComputed,
    RunCreated,
    RunExtended,
)


def start_config(config: RunConfig) -> RunConfig | None:
    """Return the configuration of a run that ends with cycle 0's model of `config`.

    It is the same for all runs whose start does not depend on their strategy. None if it does: the
    start rule `scored` ranks by the strategy's own scores, and an ensemble or snapshots are trained
    in cycle 0. None also if cycle 0 depends on the whole budget, which a start run does not have:
    extra epochs are due at fractions of it, a unit whose costs show late is reserved from what is
    left of it, and labels that exist may be more than `budget.start`.
    """
    if (
        config.budget.start_rule.follows_strategy
        or config.budget.start_rule.takes_existing
        or _passes_are_models(config)
        or not config.label.annotator.answers_at_once
    ):
        return None
    if config.train.extra_every is not None or config.budget.unit.shows_late:
        return None
    values = config.model_dump(mode="json")
    values["name"] = "start"
    kept = ("skip_void_by_ground_truth", "feature_layer")
    values["strategy"] = {"acquisition": "random", **{key: values["strategy"][key] for key in kept}}
    values["budget"] = {
        **values["budget"],
        "amount": values["budget"]["start"],
        "per_cycle": values["budget"]["start"],
    }
    values["final"]["budgets"] = [
        budget for budget in config.final.budgets if _is_of_start(budget, config)
    ]
    values["cluster"]["host"] = "process"
    values.pop("tracking")
    return RunConfig.model_validate(values)


def _is_of_start(budget: int | float, config: RunConfig) -> bool:
    """Return whether the start run measures at `budget`, one of `final.budgets`.

    Each run itself measures at budgets that are written in another way than `budget.start`, such as
    a count instead of a fraction.
    """
    return type(budget) is type(config.budget.start) and budget <= config.budget.start


def _passes_are_models(config: RunConfig) -> bool:
    return (
        find_acquisition(config.strategy.acquisition).inputs == "passes"
        and config.strategy.passes.are_models
    )


def fork_run(source: str, config: RunConfig, out: str) -> str:
    """Write the new run `out` with the events and files of `source` up to cycle 0's model.

    A fork that was interrupted is a run that is less far.

    Args:
        source: the run to begin with.
        config: the configuration of the new run.
        out: place of the new run.

    Returns:
        The root of the new run.

    Raises:
        ConfigError: `out` exists, `source` has not trained cycle 0's model or has removed it, or
            the budget does not fit the pool.
    """
    origin, storage = Storage(source), Storage(out)
    events = Journal(origin).events
    shared = _shared_events(source, events)
    check_new(storage, out, RUN)
    storage.probe()
    copied = {event.sequence: _files(origin, event, shared) for event in shared[1:]}
    theirs, created = read_config(origin, events), shared[0].record
    assert isinstance(created, RunCreated)
    config = _resolved_like(theirs, config, num_classes=len(created.class_names))
    state = fold(shared)
    pool = state.created.sizes
    amount = whole_budget(config.budget, pool)
    manifest = read_table(origin, state.created.manifest)
    check_budget(config, pool, manifest, len(state.created.class_names))
    config_yaml = config.to_yaml()
    created = replace(
        created,
        name=config.name,
        unit=config.budget.unit.kind,
        amount=amount,
        **config_facts(config_yaml),
    )
    manifest_bytes = origin.read_ref(created.manifest)
    files = {RunDir.CONFIG: config_yaml.encode(), RunDir.MANIFEST: manifest_bytes}
    if created.validation is not None:
        files[RunDir.VALIDATION] = origin.read_ref(created.validation)
    if (asked := created.unlabelled_validation) is not None:
        files[RunDir.UNLABELLED_VALIDATION] = origin.read_ref(asked.manifest)
    journal = begin_run(storage, out, files, created)
    with Lease(storage).acquire():
        for event in shared[1:]:
            for ref in copied[event.sequence]:
                storage.put(ref.path, origin.read_ref(ref), attempt=0)
            record = event.record
            if isinstance(record, RegionsComputed):
                record = replace(record, amount=amount)
            journal.append(record)
        _copy_measured(journal, events, theirs.final, config)
    return storage.root


def _copy_measured(
    journal: Journal, source: list[Event], theirs: FinalConfig, config: RunConfig
) -> None:
    """Copy the models that the source measured on cycle 0's labels, if the new run has the same.

    They have no files. If the copy is interrupted, the new run measures what is missing.
    """
    budget = budget_to_measure(fold(journal.events), config, 0)
    if budget is None or (theirs.recipe, theirs.num_repeats) != (
        config.final.recipe,
        config.final.num_repeats,
    ):
        return
    for event in source:
        record = event.record
        if isinstance(record, ModelMeasured) and record.cycle == 0:
            journal.append(record)
        if isinstance(record, ModelsMeasured) and record.cycle == 0:
            journal.append(replace(record, budget=budget))


def _files(origin: Storage, event: Event, shared: list[Event]) -> list[FileRef]:
    """Return the files of an event that its copy needs.

    Models that were replaced by cycle 0's may be gone, since nothing reads them.

    Raises:
        ConfigError: another file is gone.
    """
    refs = list(file_refs(event.data))
    missing = [ref.path for ref in refs if not origin.exists(ref.path)]
    if missing and not is_superseded(event, shared):
        raise ConfigError(
            f"{origin.uri(missing[0])}: is gone, and a run that begins with what this one has done "
            "needs it; a run that is further keeps only the models of its last "
            "cluster.keep_checkpoints cycles: begin with one that has ended at cycle 0"
        )
    return [ref for ref in refs if ref.path not in missing]


def _shared_events(source: str, events: list[Event]) -> list[Event]:
    """Return the events up to cycle 0's model, without changes of the source's settings."""
    shared = list(_until_trained(events))
    if not shared or shared[-1].kind != "cycle_trained":
        raise ConfigError(
            f"{source}: has not trained cycle 0 yet; continue it with "
            f"`ray-al resume {quote(source)}`"
        )
    if any(isinstance(event.record, RunExtended) for event in shared):
        raise ConfigError(
            f"{source}: was extended before its first model was trained, and a run that begins "
            "with what it has done would need its data as they were; begin a new run"
        )
    return [event for event in shared if event.kind != "config_changed"]


def _data_like(theirs: RunConfig, config: RunConfig) -> DataConfig:
    """Return `config.data` with what the source counted and measured on the files."""
    data = config.data
    found: dict[str, object] = {}
    if data.channels == "all":
        found["channels"] = theirs.data.channels
    if data.normalize == "measured":
        found["normalize"] = theirs.data.normalize
    return data.model_copy(update=found)


def _resolved_like(theirs: RunConfig, config: RunConfig, *, num_classes: int) -> RunConfig:
    """Return `config` with what the source resolved: precision, shard size, channels, statistics.

    The batch size of scoring is resolved anew: the source may have scored nothing, or by another
    function.
    """
    resolved = {"precision": theirs.scoring.precision, "shard_size": theirs.scoring.shard_size}
    score = config.scoring.model_copy(update=resolved)
    config = config.model_copy(update={"scoring": score, "data": _data_like(theirs, config)})
    batch_size = resolve_batch_size(config, num_classes)
    score = score.model_copy(update={"batch_size": batch_size})
    config = config.model_copy(update={"scoring": score})
    return RunConfig.model_validate(config.model_dump(mode="json"))


def _until_trained(events: list[Event]) -> Iterator[Event]:
    """Yield the events up to and including the training of cycle 0's model."""
    for event in events:
        yield event
        if isinstance(event.record, CycleTrained) and event.record.cycle == 0:
            return

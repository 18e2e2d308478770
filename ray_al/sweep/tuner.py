"""The Ray Tune shell: a trial is a whole run in its own directory; what is finished is known by its ledger alone."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.tune import Stopper

from ray_al.core.config import RunConfig, parse_config, parse_yaml
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.making import Kind, check_new, making
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.core.tracking import TrackingConfig
from ray_al.core.validation import validate
from ray_al.driver.cluster import connect
from ray_al.driver.fork import start_config
from ray_al.driver.lease import Lease
from ray_al.driver.resources import run_resources
from ray_al.driver.track import check_tracking
from ray_al.ledger import Journal, State, fold
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.endpoint import check_endpoint
from ray_al.sweep.label_limit import LabelLimit
from ray_al.sweep.plan import (
    Trial,
    in_order,
    plan_trials,
    read_trials,
    run_uri,
    start_digest,
    trial_file,
)
from ray_al.sweep.resources import runs_at_once
from ray_al.sweep.schedule import open_scheduler, rungs_of
from ray_al.sweep.trial import (
    Reporter,
    budget_rows,
    host_trial,
    read_outcome,
    share_features,
    start_uri,
    write_outcome,
)

FILE = "sweep.yaml"
HELD = "carries this sweep on; follow it with `ray-al status`, or end it before resuming"
SWEEP = Kind(noun="sweep", last=FILE, resume="ray-al sweep --resume")
Show = Callable[["Progress"], None]


@dataclass
class Progress:
    """What a sweep shows while it runs; `rows` by trial name."""

    total: int
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    done: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)


@before_work()
def create_sweep(sweep: SweepConfig, out: str) -> str:
    """Check every combination, then write a new sweep directory and return its root.

    Raises:
        ConfigError: something cannot work, or `out` exists; nothing was written.
    """
    storage = Storage(out)
    check_new(storage, out, SWEEP)
    storage.probe()
    rungs_of(sweep)
    trials = plan_trials(sweep)
    check_tracking(trials[0].config.model_copy(update={"tracking": _tracking(sweep)}))
    _check_first_rung(sweep, trials)
    check_endpoint(sweep, trials)
    if sweep.search.kind == "optuna":
        from ray_al.sweep.search import open_optuna

        open_optuna(sweep, [])
    with making(storage, out, SWEEP):
        for trial in trials:
            storage.create(trial_file(trial.name), trial.to_bytes())
        storage.create(FILE, sweep.to_yaml().encode())
    return storage.root


def _check_first_rung(sweep: SweepConfig, trials: list[Trial]) -> None:
    rungs = rungs_of(sweep)
    for trial in trials:
        start = trial.config.budget.start
        if rungs and trial.config.budget.unit.shows_late:
            raise ConfigError(
                f"sweep {sweep.name}: scheduler.kind={sweep.scheduler.kind!r} compares trials at shares of the pool, which "
                f"budget.unit={trial.config.budget.unit.kind} does not have; set scheduler.kind to none, or another unit"
            )
        if rungs and isinstance(start, float) and start > rungs[0] + 1e-9:
            raise ConfigError(
                f"sweep {sweep.name}: scheduler.first={rungs[0]}: trial {trial.name} starts with budget.start={start}, past it, and could never be "
                "compared there; raise scheduler.first"
            )


@before_work()
def read_sweep(storage: Storage) -> SweepConfig:
    """The sweep of a sweep directory.

    Raises:
        ConfigError: it is none.
    """
    if not storage.exists(FILE):
        raise ConfigError(
            f"{storage.root}: not a sweep directory (it has no {FILE}); give one that `ray-al sweep` made"
        )
    return validate(
        SweepConfig,
        parse_yaml(storage.read(FILE), source=storage.uri(FILE)),
        source=storage.uri(FILE),
    )


def run_sweep(
    sweep_uri: str,
    *,
    show: Show = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Carry a sweep on from where its runs' ledgers stand. True when nothing is left to do.

    Raises:
        ConfigError: a run does not fit into the cluster.
        RunHeldError: another process carries it on.
    """
    with before_work():
        storage = Storage(sweep_uri)
        read_sweep(storage)  # before anything is written: that it is a sweep
        storage.probe()
    with Lease(storage, held=HELD).acquire():
        return _carry_on(storage, show, should_stop)


def _carry_on(storage: Storage, show: Show, should_stop: Callable[[], bool]) -> bool:
    sweep = read_sweep(storage)
    trials = in_order(sweep, read_trials(storage))
    with (
        connect(_largest_local(trials), num_cpus=_local_cpus(trials), should_stop=should_stop),
        _quiet_tune(),
    ):
        at_once = runs_at_once([trial.config for trial in trials], sweep.limits.at_once)
        begun, starts = time.monotonic(), _starts(storage, trials)
        before = {digest: _spent(start_uri(storage.root, digest)) for digest in starts}
        if starts and not should_stop():
            _fit_starts(storage, starts, at_once, should_stop)
        bought = sum(
            _spent(start_uri(storage.root, digest)) - spent for digest, spent in before.items()
        )
        label_limit = LabelLimit(
            sweep.limits.labels,
            {trial.name: _spent_before(storage, trial) for trial in trials},
            bought,
        )
        seconds = (
            None
            if sweep.limits.hours is None
            else sweep.limits.hours * 3600 - (time.monotonic() - begun)
        )
        if not should_stop() and not label_limit.is_reached and (seconds is None or seconds > 0):
            _fit_trials(storage, sweep, trials, at_once, show, should_stop, label_limit, seconds)
    return is_complete(storage)


def _spent(uri: str) -> int:
    """What a run has spent, in its budget's unit; 0 before its first event."""
    storage = Storage(uri)
    return fold(Journal(storage).events).spent if storage.exists(Journal.FIRST) else 0


def _spent_before(storage: Storage, trial: Trial) -> int:
    """What a trial has spent, or begins with: the labels of the start that it will be forked from are bought once, by that start."""
    if _has_begun(storage, trial):
        return _spent(run_uri(storage.root, trial.name))
    start = start_config(trial.config)
    return _spent(start_uri(storage.root, start_digest(start))) if start is not None else 0


def is_complete(storage: Storage) -> bool:
    """Whether each planned trial has finished, failed or been stopped."""
    sweep, trials = read_sweep(storage), read_trials(storage)
    whole = all(read_state(storage, trial) in ("finished", "stopped", "failed") for trial in trials)
    return whole and _settings_left(sweep, trials) == 0


def read_state(storage: Storage, trial: Trial) -> str:
    """`waiting`, `begun`, `finished`, `stopped` (by the scheduler) or `failed`."""
    state = read_ledger(storage, trial)
    if state is not None and state.finished:
        return "finished"
    outcome = read_outcome(storage, trial.name)
    return str(outcome.get("state", "waiting" if state is None else "begun"))


def _has_begun(storage: Storage, trial: Trial) -> bool:
    """Whether the run of a trial has its first event."""
    return Storage(run_uri(storage.root, trial.name)).exists(Journal.FIRST)


def read_ledger(storage: Storage, trial: Trial) -> State | None:
    """The folded ledger of a trial's run; None before its first event."""
    return (
        fold(Journal(Storage(run_uri(storage.root, trial.name))).events)
        if _has_begun(storage, trial)
        else None
    )


def _largest_local(trials: list[Trial]) -> RunConfig:
    """Any run's configuration, made to need Ray: Tune does."""
    config = trials[0].config
    return config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"host": "actor"})}
    )


def _local_cpus(trials: list[Trial]) -> int:
    """CPUs of a cluster that the sweep starts itself: the machine's, or what one run needs."""
    need = max(run_resources(trial.config).cpus for trial in trials)
    configured = max((trial.config.cluster.num_cpus or 0) for trial in trials)
    return configured or max(os.cpu_count() or 1, int(-(-need // 1)))


@contextlib.contextmanager
def _quiet_tune() -> Iterator[None]:
    """SIGINT goes to the caller's handler, and a cycle's row need not hold the schedulers' metric."""
    values = {
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _starts(storage: Storage, trials: list[Trial]) -> dict[str, RunConfig]:
    """The starts that more than one trial shares, and that have still to be made."""
    configs: dict[str, list[RunConfig]] = {}
    for trial in trials:
        start = start_config(trial.config)
        if start is not None and read_state(storage, trial) == "waiting":
            configs.setdefault(start_digest(start), []).append(start)
    shared = {digest: same[0] for digest, same in configs.items() if len(same) > 1}
    return {
        digest: config
        for digest, config in shared.items()
        if not _is_finished(start_uri(storage.root, digest))
    }


def _is_finished(uri: str) -> bool:
    storage = Storage(uri)
    return storage.exists(Journal.FIRST) and fold(Journal(storage).events).finished is not None


def _fit_starts(
    storage: Storage, starts: dict[str, RunConfig], at_once: int, should_stop: Callable[[], bool]
) -> None:
    """A start that fails is left to its trials, which then begin on their own and say why."""
    from ray import tune

    for digest, config in starts.items():
        storage.replace(_start_file(digest), config.to_yaml().encode())
    resources = run_resources(next(iter(starts.values())))
    _tuner(
        storage,
        resources.host,
        trainable=tune.with_parameters(_start, sweep_uri=storage.root),
        param_space={"name": tune.grid_search(list(starts))},
        at_once=at_once,
        retries=1,
        should_stop=should_stop,
        label="starts",
    ).fit()


def _fit_trials(
    storage: Storage,
    sweep: SweepConfig,
    trials: list[Trial],
    at_once: int,
    show: Show,
    should_stop: Callable[[], bool],
    label_limit: LabelLimit,
    seconds: float | None,
) -> None:
    from ray import tune

    from ray_al.sweep.progress import ProgressCallback
    from ray_al.sweep.search import SettingSearch

    rungs, reference = rungs_of(sweep), trials[0].group
    states = {trial.name: read_state(storage, trial) for trial in trials}
    scheduled = sweep.scheduler.kind != "none"
    # With a scheduler, finished and stopped trials are told again from their ledgers: the others are compared with them.
    planned = [
        trial
        for trial in trials
        if states[trial.name] in ("waiting", "begun")
        or (scheduled and states[trial.name] in ("finished", "stopped"))
    ]
    planned.sort(key=lambda trial: states[trial.name] not in ("finished", "stopped"))
    progress = Progress(total=len(trials) + _settings_left(sweep, trials) * len(sweep.seeds))
    for trial in trials:
        state = read_ledger(storage, trial)
        progress.rows[trial.name] = (
            budget_rows(state)[-1] if state is not None and budget_rows(state) else {}
        )
        if states[trial.name] in ("finished", "stopped", "failed"):
            progress.done[trial.name] = states[trial.name]
    if not planned and _settings_left(sweep, trials) == 0:
        return

    def on_new(trial: Trial) -> None:
        storage.replace(trial_file(trial.name), trial.to_bytes())
        label_limit.begin(trial.name, _spent_before(storage, trial))

    search = SettingSearch(
        sweep,
        planned,
        arguments=_arguments,
        on_new=on_new,
        next_index=1 + max(trial.index for trial in trials),
        num_settings=_settings_left(sweep, trials),
        known=_known(storage, sweep, trials),
    )

    def on_stop(name: str, budget: float) -> None:
        if states.get(name) != "finished":
            write_outcome(storage.root, name, state="stopped", budget=budget)

    resources = [run_resources(trial.config).host for trial in trials]
    host = {
        key: max(resource.get(key, 0) for resource in resources)
        for resource in resources
        for key in resource
    }
    results = _tuner(
        storage,
        host,
        trainable=tune.with_parameters(_trial, sweep_uri=storage.root, rungs=rungs),
        search=search,
        scheduler=open_scheduler(sweep, reference=reference, on_stop=on_stop),
        at_once=at_once,
        retries=sweep.limits.retries,
        should_stop=should_stop,
        label="trials",
        seconds=seconds,
        label_limit=label_limit,
        callbacks=[ProgressCallback(progress, show), *_loggers(storage, sweep)],
    ).fit()
    for result in results:
        if (
            result.error is not None
            and read_outcome(storage, result.config["name"]).get("state") is None
        ):
            write_outcome(
                storage.root,
                result.config["name"],
                state="failed",
                error=" ".join(str(result.error).split())[-2000:],
            )


def _tracking(sweep: SweepConfig) -> TrackingConfig:
    return validate(
        TrackingConfig, sweep.run.get("tracking") or {}, source=f"sweep {sweep.name}, tracking"
    )


def _loggers(storage: Storage, sweep: SweepConfig) -> list[Any]:
    """Tune's own callbacks for what `tracking` of the base asks for; TensorBoard files are always written below `tune/`."""
    callbacks = (tracker.for_sweep(storage, sweep.name) for tracker in _tracking(sweep).trackers)
    return [callback for callback in callbacks if callback is not None]


def _settings_left(sweep: SweepConfig, trials: list[Trial]) -> int:
    """Settings that Optuna has still to suggest."""
    if sweep.search.kind != "optuna":
        return 0
    suggested = {trial.index for trial in trials if trial.index > 0}
    return max(0, int(sweep.search.trials or 0) - len(suggested))


def _known(
    storage: Storage, sweep: SweepConfig, trials: list[Trial]
) -> list[tuple[dict[str, Any], float]]:
    """What earlier sessions found of Optuna's suggestions."""
    known = []
    for index in (
        sorted({trial.index for trial in trials if trial.index > 0})
        if sweep.search.kind == "optuna"
        else []
    ):
        states = [read_ledger(storage, trial) for trial in trials if trial.index == index]
        scores = [
            budget_rows(state)[-1]["aubc"]
            for state in states
            if state is not None and state.finished
        ]
        if len(scores) == len(sweep.seeds):
            setting = next(trial.setting for trial in trials if trial.index == index)
            known.append((dict(setting), sum(scores) / len(scores)))
    return known


class _Stops(Stopper):
    """Ends a sweep when somebody asks for it or when the labels that may be bought are."""

    def __init__(self, should_stop: Callable[[], bool], label_limit: LabelLimit | None) -> None:
        self.should_stop, self.label_limit = should_stop, label_limit

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if self.label_limit is not None and "cost" in result:
            self.label_limit.report(result["config"]["name"], int(result["cost"]))
        return False

    def stop_all(self) -> bool:
        return self.should_stop() or (self.label_limit is not None and self.label_limit.is_reached)

    def __getstate__(self) -> dict[str, Any]:
        """Tune keeps a copy, which nobody reads: a sweep goes on from its ledgers."""
        return {}


def _tuner(
    storage: Storage,
    host: dict[str, float],
    *,
    trainable: Callable[..., None],
    at_once: int,
    retries: int,
    should_stop: Callable[[], bool],
    label: str,
    param_space: dict[str, Any] | None = None,
    search: Any = None,
    scheduler: Any = None,
    seconds: float | None = None,
    label_limit: LabelLimit | None = None,
    callbacks: list[Any] | None = None,
) -> Any:
    from ray import tune

    return tune.Tuner(
        tune.with_resources(trainable, host),
        param_space=param_space or {},
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=scheduler,
            num_samples=-1 if search is not None else 1,
            max_concurrent_trials=at_once,
            time_budget_s=seconds,
            reuse_actors=True,  # a process serves many trials: importing torch takes seconds
            trial_dirname_creator=lambda trial: str(
                (trial.config or {}).get("name") or trial.trial_id
            ),
        ),
        run_config=tune.RunConfig(
            name=f"{label}-{int(time.time())}",
            storage_path=storage.uri("tune"),
            failure_config=tune.FailureConfig(max_failures=retries),
            stop=_Stops(should_stop, label_limit),
            callbacks=callbacks,
            verbose=0,
        ),
    )


def _arguments(trial: Trial) -> dict[str, Any]:
    """What Tune, its loggers and its tables see of a trial."""
    return {"name": trial.name, "group": trial.group, "seed": trial.seed, **trial.setting}


def _start_file(digest: str) -> str:
    return f"starts/{digest}.yaml"


def _start(values: dict[str, Any], *, sweep_uri: str) -> None:
    """What the process of a start does."""
    storage, digest = Storage(sweep_uri), values["name"]
    file = _start_file(digest)
    config = parse_config(
        parse_yaml(storage.read(file), source=storage.uri(file)), source=storage.uri(file)
    )
    host_trial(
        start_uri(sweep_uri, digest),
        share_features(config, sweep_uri),
        start=None,
        rungs=[],
        report=_report,
    )


def _trial(values: dict[str, Any], *, sweep_uri: str, rungs: list[float]) -> None:
    """What the process of a trial does."""
    storage = Storage(sweep_uri)
    file = trial_file(values["name"])
    trial = Trial.from_bytes(storage.read(file), source=storage.uri(file))
    if read_state(storage, trial) in ("finished", "stopped"):  # the others are compared with it
        Reporter(rungs, _report)(fold(Journal(Storage(run_uri(sweep_uri, trial.name))).events))
        return
    start = start_config(trial.config)
    shared = start_uri(sweep_uri, start_digest(start)) if start is not None else None
    try:
        host_trial(
            run_uri(sweep_uri, trial.name),
            share_features(trial.config, sweep_uri),
            start=shared,
            rungs=rungs,
            report=_report,
        )
    except RayALError as error:  # it would fail again: no retry, and the others go on
        write_outcome(sweep_uri, trial.name, state="failed", error=str(error))


def _report(row: Mapping[str, Any]) -> None:
    from ray import tune

    tune.report(dict(row))

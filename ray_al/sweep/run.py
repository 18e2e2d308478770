"""Run a sweep, or continue it: what is done is known from its trials' journals alone."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence

from ray_al.core.config import RunConfig
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.driver.cluster import connect
from ray_al.driver.fork import start_config
from ray_al.driver.lease import Lease
from ray_al.driver.resources import run_resources
from ray_al.ledger import Journal
from ray_al.sweep.directory import read_sweep, read_trials, run_uri, start_uri
from ray_al.sweep.fit import Session, fit_trials
from ray_al.sweep.label_limit import LabelLimit
from ray_al.sweep.plan import choose_trials, in_order
from ray_al.sweep.progress import Show
from ray_al.sweep.resources import runs_at_once
from ray_al.sweep.starts import fit_starts, missing_starts
from ray_al.sweep.states import is_complete, spent
from ray_al.sweep.trials import Trial, start_digest

HELD = "carries this sweep on; follow it with `ray-al status`, or end it before resuming"


def run_sweep(
    sweep_uri: str,
    *,
    only: Sequence[str] = (),
    show: Show = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Run what is left of a sweep, and return whether nothing is left.

    Args:
        only: names of the trials to run; see `choose_trials`.
        show: called with the progress after every cycle.

    Raises:
        ConfigError: a run does not fit into the cluster, or `only` names no trial.
        RunHeldError: another process runs the sweep.
    """
    with before_work():
        storage = Storage(sweep_uri)
        # Refuses another directory, and other names, before anything is written.
        choose_trials(read_sweep(storage), read_trials(storage), only)
        storage.probe()
    with Lease(storage, held=HELD).acquire():
        return _carry_on(storage, only, show, should_stop)


def _carry_on(
    storage: Storage, only: Sequence[str], show: Show, should_stop: Callable[[], bool]
) -> bool:
    sweep = read_sweep(storage)
    planned = in_order(sweep, read_trials(storage))
    trials = choose_trials(sweep, planned, only)
    connection = connect(
        _needing_ray(trials), num_cpus=_local_cpus(trials), should_stop=should_stop
    )
    with connection, _quiet_tune():
        at_once = runs_at_once([trial.config for trial in trials], sweep.limits.at_once)
        began = time.monotonic()
        bought = _make_starts(storage, trials, at_once, should_stop)
        before = {trial.name: _spent_before(storage, trial) for trial in planned}
        label_limit = LabelLimit(sweep.limits.labels, before, bought)
        seconds = None
        if sweep.limits.hours is not None:
            seconds = sweep.limits.hours * 3600 - (time.monotonic() - began)
        has_time = seconds is None or seconds > 0
        if has_time and not should_stop() and not label_limit.is_reached:
            session = Session(
                storage=storage,
                sweep=sweep,
                trials=trials,
                at_once=at_once,
                show=show,
                should_stop=should_stop,
            )
            fit_trials(session, label_limit, seconds, lambda trial: _spent_before(storage, trial))
    return is_complete(storage)


def _make_starts(
    storage: Storage, trials: Sequence[Trial], at_once: int, should_stop: Callable[[], bool]
) -> int:
    """Make the shared starts that are missing, and return how many labels this bought."""
    starts = missing_starts(storage, trials)
    uris = [start_uri(storage.root, digest) for digest in starts]
    before = sum(map(spent, uris))
    if starts and not should_stop():
        fit_starts(storage, starts, at_once, should_stop)
    return sum(map(spent, uris)) - before


def _spent_before(storage: Storage, trial: Trial) -> int:
    """Return what a trial has spent, or begins with.

    A trial that is still to be forked begins with the labels of its start, which were bought once,
    by that start.
    """
    uri = run_uri(storage.root, trial.name)
    if Storage(uri).exists(Journal.FIRST):
        return spent(uri)
    start = start_config(trial.config)
    return 0 if start is None else spent(start_uri(storage.root, start_digest(start)))


def _needing_ray(trials: Sequence[Trial]) -> RunConfig:
    """Return the configuration of a run, changed to need Ray, since Tune does."""
    config = trials[0].config
    return config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"host": "actor"})}
    )


def _local_cpus(trials: Sequence[Trial]) -> int:
    """Return the CPUs of a cluster that the sweep starts itself.

    These are the machine's CPUs, or as many as one run needs.
    """
    need = max(run_resources(trial.config).cpus for trial in trials)
    configured = max((trial.config.cluster.num_cpus or 0) for trial in trials)
    return configured or max(os.cpu_count() or 1, int(-(-need // 1)))


@contextlib.contextmanager
def _quiet_tune() -> Iterator[None]:
    """Set Tune's switches for the block.

    SIGINT goes to the caller's handler, and a cycle's row may lack the schedulers' metric.
    """
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

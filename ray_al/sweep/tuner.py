"""The Ray Tune shell: how Tune runs trials and shared starts, and what their processes do."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune import Stopper

from ray_al.core.errors import RayALError
from ray_al.core.storage import Storage
from ray_al.driver.fork import start_config
from ray_al.sweep.directory import read_start, read_trial, run_uri, start_uri, write_outcome
from ray_al.sweep.label_limit import LabelLimit
from ray_al.sweep.reporting import Reporter
from ray_al.sweep.states import COMPARED, read_journal, read_state
from ray_al.sweep.trial import host_trial, share_features
from ray_al.sweep.trials import start_digest


@dataclass(frozen=True, kw_only=True)
class Work:
    """What Tune runs.

    Attributes:
        label: name of this use of Tune inside the sweep directory.
        trainable: function that a process runs, with the values of its trial.
        host: resources of the process, by name.
        at_once: number of processes at a time.
        retries: how often a trial is continued after its process died.
    """

    label: str
    trainable: Callable[..., None]
    host: Mapping[str, float]
    at_once: int
    retries: int


def make_tuner(
    storage: Storage,
    work: Work,
    stops: "Stops",
    *,
    param_space: Mapping[str, Any] | None = None,
    search: Any = None,
    scheduler: Any = None,
    seconds: float | None = None,
    callbacks: Sequence[Any] | None = None,
) -> Any:
    """Return a Tuner whose files are kept below `tune/` of the sweep directory.

    Args:
        param_space: Tune's space; None if `search` hands out the trials.
        seconds: after which Tune ends; None for no limit.
    """
    return tune.Tuner(
        tune.with_resources(work.trainable, dict(work.host)),
        param_space=dict(param_space or {}),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=scheduler,
            num_samples=-1 if search is not None else 1,
            max_concurrent_trials=work.at_once,
            time_budget_s=seconds,
            reuse_actors=True,  # a process serves many trials: importing torch takes seconds
            trial_dirname_creator=_folder_of,
        ),
        run_config=tune.RunConfig(
            name=f"{work.label}-{int(time.time())}",
            storage_path=storage.uri("tune"),
            failure_config=tune.FailureConfig(max_failures=work.retries),
            stop=stops,
            callbacks=None if callbacks is None else list(callbacks),
            verbose=0,
        ),
    )


def _folder_of(trial: Any) -> str:
    return str((trial.config or {}).get("name") or trial.trial_id)


class Stops(Stopper):  # type: ignore[misc]  # Ray is untyped
    """Ends Tune when the caller asks for it, or when the limit of labels is reached."""

    def __init__(
        self, should_stop: Callable[[], bool], label_limit: LabelLimit | None = None
    ) -> None:
        self.should_stop, self.label_limit = should_stop, label_limit

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if self.label_limit is not None and "cost" in result:
            self.label_limit.report(result["config"]["name"], int(result["cost"]))
        return False

    def stop_all(self) -> bool:
        """Return whether all trials end now."""
        return self.should_stop() or (self.label_limit is not None and self.label_limit.is_reached)

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune keeps a copy that nobody reads; a sweep resumes from journals."""
        return {}


def run_start(values: Mapping[str, Any], *, sweep_uri: str) -> None:
    """Make a shared start; the process of a start runs this."""
    digest = values["name"]
    config = read_start(Storage(sweep_uri), digest)
    host_trial(
        start_uri(sweep_uri, digest),
        share_features(config, sweep_uri),
        start=None,
        rungs=[],
        report=_report,
    )


def run_trial(values: Mapping[str, Any], *, sweep_uri: str, rungs: Sequence[float]) -> None:
    """Run a trial; the process of a trial runs this.

    A trial that has ended is only reported again from its journal, for the scheduler.
    """
    storage = Storage(sweep_uri)
    trial = read_trial(storage, values["name"])
    if read_state(storage, trial) in COMPARED:
        state = read_journal(storage, trial)
        if state is not None:
            Reporter(rungs, _report)(state)
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
    except RayALError as error:  # it would fail again: no retry, and the others continue
        write_outcome(sweep_uri, trial.name, state="failed", error=str(error))


def _report(row: Mapping[str, object]) -> None:
    tune.report(dict(row))

"""The trials of a sweep handed to Tune, and their endings recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune

from ray_al.core.storage import Storage
from ray_al.driver.resources import run_resources
from ray_al.sweep.callback import SweepCallback
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.create import tracking_of
from ray_al.sweep.directory import read_outcome, trial_file, write_outcome
from ray_al.sweep.label_limit import LabelLimit
from ray_al.sweep.progress import Reached, Show, SweepProgress
from ray_al.sweep.reporting import budget_rows
from ray_al.sweep.schedulers import open_scheduler, rungs_of
from ray_al.sweep.search import SettingSearch
from ray_al.sweep.states import (
    COMPARED,
    ENDED,
    TrialState,
    known_settings,
    num_settings_left,
    read_journal,
    read_state,
)
from ray_al.sweep.trials import Trial
from ray_al.sweep.tuner import Stops, Work, make_tuner, run_trial

MAX_ERROR = 2000
"""Characters of an error that are recorded: its end, which names the cause."""
States = Mapping[str, TrialState]


@dataclass(frozen=True, kw_only=True)
class Session:
    """One call that runs a sweep.

    Attributes:
        at_once: number of trials at a time.
        show: called with the progress after every cycle.
    """

    storage: Storage
    sweep: SweepConfig
    trials: Sequence[Trial]
    at_once: int
    show: Show
    should_stop: Callable[[], bool]

    @property
    def num_settings_left(self) -> int:
        """Number of settings that Optuna has still to suggest."""
        return num_settings_left(self.sweep, self.trials)


def fit_trials(
    session: Session,
    label_limit: LabelLimit,
    seconds: float | None,
    spent_before: Callable[[Trial], int],
) -> None:
    """Run all trials that have not ended.

    Args:
        seconds: after which the call ends; None for no limit.
        spent_before: returns what a trial has spent, or begins with.
    """
    storage, sweep = session.storage, session.sweep
    states = {trial.name: read_state(storage, trial) for trial in session.trials}
    planned = _planned(session, states)
    if not planned and session.num_settings_left == 0:
        return

    def on_new(trial: Trial) -> None:
        storage.replace(trial_file(trial.name), trial.to_bytes())
        label_limit.begin(trial.name, spent_before(trial))

    def on_stop(name: str, budget: float) -> None:
        if states.get(name) != "finished":
            write_outcome(storage.root, name, state="stopped", budget=budget)

    search = SettingSearch(
        sweep,
        planned,
        arguments=_arguments,
        on_new=on_new,
        next_index=1 + max(trial.index for trial in session.trials),
        num_settings=session.num_settings_left,
        known=known_settings(storage, sweep, session.trials),
    )
    progress = SweepCallback(_progress_so_far(session, states), session.show)
    results = make_tuner(
        storage,
        _work(session),
        Stops(session.should_stop, label_limit),
        search=search,
        scheduler=open_scheduler(sweep, reference=session.trials[0].group, on_stop=on_stop),
        seconds=seconds,
        callbacks=[progress, *_loggers(storage, sweep)],
    ).fit()
    _record_failures(storage, results)


def _planned(session: Session, states: States) -> list[Trial]:
    """Return the trials to hand out.

    With a scheduler, finished and stopped trials come first and are reported again from their
    journals: the others are compared with them.
    """
    reported = COMPARED if session.sweep.scheduler.kind != "none" else ()
    wanted = ("waiting", "begun", *reported)
    planned = [trial for trial in session.trials if states[trial.name] in wanted]
    return sorted(planned, key=lambda trial: states[trial.name] not in COMPARED)


def _progress_so_far(session: Session, states: States) -> SweepProgress:
    num_new = session.num_settings_left * len(session.sweep.seeds)
    done: dict[str, str] = {}
    reached: dict[str, Reached] = {}
    for trial in session.trials:
        state = read_journal(session.storage, trial)
        rows = budget_rows(state) if state is not None else []
        if rows:
            reached[trial.name] = Reached.from_row(rows[-1])
        if states[trial.name] in ENDED:
            done[trial.name] = states[trial.name]
    return SweepProgress(
        total=len(session.trials) + num_new, reached=reached, done=done, num_done_before=len(done)
    )


def _work(session: Session) -> Work:
    rungs = rungs_of(session.sweep)
    return Work(
        label="trials",
        trainable=tune.with_parameters(run_trial, sweep_uri=session.storage.root, rungs=rungs),
        host=_largest_host(session.trials),
        at_once=session.at_once,
        retries=session.sweep.limits.retries,
    )


def _largest_host(trials: Sequence[Trial]) -> dict[str, float]:
    """Return the most of each resource that the process of any trial needs."""
    most: dict[str, float] = {}
    for trial in trials:
        for name, amount in run_resources(trial.config).host.items():
            most[name] = max(most.get(name, 0), amount)
    return most


def _arguments(trial: Trial) -> dict[str, Any]:
    """Return what Tune, its loggers and its tables see of a trial."""
    return {"name": trial.name, "group": trial.group, "seed": trial.seed, **trial.setting}


def _loggers(storage: Storage, sweep: SweepConfig) -> list[Any]:
    """Return Tune's own callbacks for the trackers of the base.

    Tune writes TensorBoard files below `tune/` without being asked.
    """
    trackers = tracking_of(sweep).trackers
    callbacks = (tracker.for_sweep(storage, sweep.name) for tracker in trackers)
    return [callback for callback in callbacks if callback is not None]


def _record_failures(storage: Storage, results: Any) -> None:
    """Record the trials that Tune gave up and that recorded no ending themselves."""
    for result in results:
        if result.error is None:
            continue
        name = result.config["name"]
        if read_outcome(storage, name).state is None:
            error = " ".join(str(result.error).split())[-MAX_ERROR:]
            write_outcome(storage.root, name, state="failed", error=error)

"""How far the trials of a sweep are, known from their journals and outcomes alone."""

from collections.abc import Sequence
from typing import Any, Literal

from ray_al.core.storage import Storage
from ray_al.ledger import Journal, State, fold
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.directory import read_outcome, read_sweep, read_trials, run_uri
from ray_al.sweep.reporting import budget_rows
from ray_al.sweep.trials import Trial

TrialState = Literal["waiting", "begun", "finished", "stopped", "failed"]
"""`stopped` is by the scheduler."""
ENDED: tuple[TrialState, ...] = ("finished", "stopped", "failed")
COMPARED: tuple[TrialState, ...] = ("finished", "stopped")
"""Trials with which a scheduler compares the others."""


def read_state(storage: Storage, trial: Trial) -> TrialState:
    """Return how far a trial is."""
    journal = read_journal(storage, trial)
    if journal is not None and journal.finished:
        return "finished"
    ending = read_outcome(storage, trial.name).state
    if ending is not None:
        return ending
    return "waiting" if journal is None else "begun"


def read_journal(storage: Storage, trial: Trial) -> State | None:
    """Return the state of a trial's run; None before its first event."""
    return read_run_state(run_uri(storage.root, trial.name))


def read_run_state(uri: str) -> State | None:
    """Return the state of a run directory; None before its first event."""
    storage = Storage(uri)
    return fold(Journal(storage).events) if storage.exists(Journal.FIRST) else None


def spent(uri: str) -> int:
    """Return what a run has spent, in its budget's unit; 0 before its first event."""
    state = read_run_state(uri)
    return 0 if state is None else state.spent


def is_complete(storage: Storage) -> bool:
    """Return whether every planned trial has finished, failed or been stopped."""
    sweep, trials = read_sweep(storage), read_trials(storage)
    ended = all(read_state(storage, trial) in ENDED for trial in trials)
    return ended and num_settings_left(sweep, trials) == 0


def num_settings_left(sweep: SweepConfig, trials: Sequence[Trial]) -> int:
    """Return the number of settings that Optuna has still to suggest."""
    if sweep.search.kind != "optuna":
        return 0
    return max(0, int(sweep.search.trials or 0) - len(_suggested(trials)))


def known_settings(
    storage: Storage, sweep: SweepConfig, trials: Sequence[Trial]
) -> list[tuple[dict[str, Any], float]]:
    """Return the settings of Optuna that earlier calls completed, with their mean area."""
    if sweep.search.kind != "optuna":
        return []
    known = []
    for index in sorted(_suggested(trials)):
        same = [trial for trial in trials if trial.index == index]
        states = [read_journal(storage, trial) for trial in same]
        areas = [
            budget_rows(state)[-1]["aubc"]
            for state in states
            if state is not None and state.finished
        ]
        if len(areas) == len(sweep.seeds):
            known.append((dict(same[0].setting), sum(areas) / len(areas)))
    return known


def _suggested(trials: Sequence[Trial]) -> set[int]:
    """Return the numbers of the settings that Optuna suggested."""
    return {trial.index for trial in trials if trial.index > 0}

"""The files of a sweep directory: their names, and their readers and writers."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from ray_al.core.config import RunConfig, parse_config, parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.notes import read_note
from ray_al.core.places import before_work
from ray_al.core.storage import Storage, join_uri
from ray_al.core.validation import validate
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.trials import Trial

FILE = "sweep.yaml"
TRIALS, RUNS, STARTS, OUTCOMES = "trials", "runs", "starts", "outcomes"
Ending = Literal["failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a trial ended that did not finish.

    Attributes:
        state: `failed`, or `stopped` by the scheduler; None for a trial without such an end.
        error: message of a failed trial.
    """

    state: Ending | None = None
    error: str | None = None


@before_work()
def read_sweep(storage: Storage) -> SweepConfig:
    """Read the sweep file of a sweep directory.

    Raises:
        ConfigError: `storage` is not a sweep directory.
    """
    if not storage.exists(FILE):
        raise ConfigError(
            f"{storage.root}: not a sweep directory (it has no {FILE}); "
            "give one that `ray-al sweep` made"
        )
    source = storage.uri(FILE)
    return validate(SweepConfig, parse_yaml(storage.read(FILE), source=source), source=source)


def trial_file(name: str) -> str:
    """Return the path of a trial's file."""
    return f"{TRIALS}/{name}.yaml"


def read_trial(storage: Storage, name: str) -> Trial:
    """Read the trial of that name."""
    file = trial_file(name)
    return Trial.from_bytes(storage.read(file), source=storage.uri(file))


def read_trials(storage: Storage) -> list[Trial]:
    """Read all trials of a sweep directory, sorted by seed and number of the setting."""
    names = [name for name in storage.list(TRIALS) if name.endswith(".yaml")]
    trials = [read_trial(storage, name.removesuffix(".yaml")) for name in names]
    return sorted(trials, key=lambda trial: (trial.seed, trial.index))


def run_uri(sweep_uri: str, name: str) -> str:
    """Return the run directory of a trial."""
    return join_uri(sweep_uri, RUNS, name)


def start_uri(sweep_uri: str, digest: str) -> str:
    """Return the run directory of a start that trials share."""
    return join_uri(sweep_uri, STARTS, digest)


def write_start(storage: Storage, digest: str, config: RunConfig) -> None:
    """Write the configuration of a shared start, for the process that makes it."""
    storage.replace(_start_file(digest), config.to_yaml().encode())


def read_start(storage: Storage, digest: str) -> RunConfig:
    """Read the configuration that `write_start` wrote."""
    file = _start_file(digest)
    source = storage.uri(file)
    return parse_config(parse_yaml(storage.read(file), source=source), source=source)


def _start_file(digest: str) -> str:
    return f"{STARTS}/{digest}.yaml"


def write_outcome(sweep_uri: str, name: str, **facts: Any) -> None:
    """Record that a trial failed or was stopped; a finished trial's journal says so itself.

    Args:
        facts: `state`, with `error` or the `budget` at which it was stopped.
    """
    Storage(sweep_uri).replace(
        _outcome_file(name), json.dumps(facts, indent=1, allow_nan=False).encode()
    )


def read_outcome(storage: Storage, name: str) -> TrialOutcome:
    """Read what `write_outcome` recorded.

    A damaged record counts as none: the trial is then continued.
    """
    facts = read_note(storage, _outcome_file(name))
    if facts.get("state") not in ("failed", "stopped"):
        return TrialOutcome()
    return TrialOutcome(state=facts["state"], error=facts.get("error"))


def _outcome_file(name: str) -> str:
    return f"{OUTCOMES}/{name}.json"

"""Starts that several trials share: cycle 0 of equal configurations is trained once."""

from collections.abc import Callable, Mapping, Sequence

from ray import tune

from ray_al.core.config import RunConfig
from ray_al.core.storage import Storage
from ray_al.driver.fork import start_config
from ray_al.driver.resources import run_resources
from ray_al.sweep.directory import start_uri, write_start
from ray_al.sweep.states import read_run_state, read_state
from ray_al.sweep.trials import Trial, start_digest
from ray_al.sweep.tuner import Stops, Work, make_tuner, run_start


def missing_starts(storage: Storage, trials: Sequence[Trial]) -> dict[str, RunConfig]:
    """Return the configurations of shared starts that have still to be made, by digest.

    A start is shared if more than one waiting trial would begin with it.
    """
    users: dict[str, int] = {}
    configs: dict[str, RunConfig] = {}
    for trial in trials:
        start = start_config(trial.config)
        if start is None or read_state(storage, trial) != "waiting":
            continue
        digest = start_digest(start)
        users[digest] = users.get(digest, 0) + 1
        configs.setdefault(digest, start)
    return {
        digest: config
        for digest, config in configs.items()
        if users[digest] > 1 and not _is_finished(start_uri(storage.root, digest))
    }


def _is_finished(uri: str) -> bool:
    state = read_run_state(uri)
    return state is not None and state.finished is not None


def fit_starts(
    storage: Storage,
    starts: Mapping[str, RunConfig],
    at_once: int,
    should_stop: Callable[[], bool],
) -> None:
    """Make shared starts.

    A start that fails is left to its trials, which then begin on their own and report the error.
    """
    for digest, config in starts.items():
        write_start(storage, digest, config)
    work = Work(
        label="starts",
        trainable=tune.with_parameters(run_start, sweep_uri=storage.root),
        host=run_resources(next(iter(starts.values()))).host,
        at_once=at_once,
        retries=1,
    )
    names = tune.grid_search(list(starts))
    make_tuner(storage, work, Stops(should_stop), param_space={"name": names}).fit()

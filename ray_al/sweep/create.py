"""A new sweep directory, written once every combination is checked."""

from collections.abc import Sequence

from ray_al.core.errors import ConfigError
from ray_al.core.making import Kind, check_new, making
from ray_al.core.places import before_work
from ray_al.core.storage import Storage, check_writable
from ray_al.core.tracking import TrackingConfig
from ray_al.core.validation import validate
from ray_al.driver.checks import check_places
from ray_al.driver.track import check_tracking
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.directory import FILE, trial_file
from ray_al.sweep.endpoint import check_endpoint
from ray_al.sweep.plan import choose_trials, plan_trials
from ray_al.sweep.reporting import NEAR
from ray_al.sweep.schedulers import rungs_of
from ray_al.sweep.search import check_search
from ray_al.sweep.trials import Trial

SWEEP = Kind(noun="sweep", last=FILE, resume="ray-al sweep --resume")


@before_work()
def create_sweep(sweep: SweepConfig, out: str, only: Sequence[str] = ()) -> str:
    """Check every combination, then write a new sweep directory and return its root.

    Args:
        only: names that `choose_trials` will be asked for.

    Raises:
        ConfigError: a combination cannot work, `out` exists, or `only` names no trial; nothing was
            written.
    """
    storage = open_new(out)
    storage.probe()
    trials = check_sweep(sweep)
    choose_trials(sweep, trials, only)
    check_places(trials[0].config, out)
    with making(storage, out, SWEEP):
        for trial in trials:
            storage.create(trial_file(trial.name), trial.to_bytes())
        storage.create(FILE, sweep.to_yaml().encode())
    return storage.root


@before_work()
def open_new(out: str) -> Storage:
    """Return the storage of a place where a sweep directory can be written; write nothing there.

    Raises:
        ConfigError: it cannot be written, or holds something already.
    """
    check_writable(out, key="--out (or RAY_AL_RUNS)")
    storage = Storage(out)
    check_new(storage, out, SWEEP)
    return storage


def check_sweep(sweep: SweepConfig) -> list[Trial]:
    """Make all checks that need no place to write; return the trials that are known beforehand.

    A dry run makes the same checks as a sweep that is created.

    Raises:
        ConfigError: a combination, the scheduler, the search, the trackers or the endpoint cannot
            work.
    """
    rungs_of(sweep)
    trials = plan_trials(sweep)
    tracking = tracking_of(sweep)
    check_tracking(trials[0].config.model_copy(update={"tracking": tracking}))
    _check_first_rung(sweep, trials)
    check_endpoint(sweep, trials)
    check_search(sweep)
    return trials


def tracking_of(sweep: SweepConfig) -> TrackingConfig:
    """Return the trackers that the base of a sweep asks for; they follow the whole sweep."""
    values = sweep.run.get("tracking") or {}
    return validate(TrackingConfig, values, source=f"sweep {sweep.name}, tracking")


def _check_first_rung(sweep: SweepConfig, trials: Sequence[Trial]) -> None:
    """Refuse a scheduler that could not compare the trials at its first rung."""
    rungs = rungs_of(sweep)
    if not rungs:
        return
    for trial in trials:
        budget = trial.config.budget
        if budget.unit.shows_late:
            raise ConfigError(
                f"sweep {sweep.name}: scheduler.kind={sweep.scheduler.kind!r} compares trials at "
                f"shares of the pool, which budget.unit={budget.unit.kind} does not have; "
                "set scheduler.kind to none, or another unit"
            )
        if isinstance(budget.start, float) and budget.start > rungs[0] + NEAR:
            raise ConfigError(
                f"sweep {sweep.name}: scheduler.first={rungs[0]}: trial {trial.name} starts with "
                f"budget.start={budget.start}, past it, and could never be compared there; "
                "raise scheduler.first"
            )

"""Tune's schedulers, made to compare trials at equal budgets.

Tune's own ASHA takes a trial's first result at or past a rung. Here, trials report at exactly the
rungs (`Reporter`), under a metric that the rows of cycles do not have, so the schedulers see
nothing else.
"""

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from ray_al.core.errors import ConfigError
from ray_al.core.shares import exact
from ray_al.sweep.config import SweepConfig

TIME, METRIC = "budget", "rung_miou"
MAX_MEDIAN_RUNGS = 200
PAST_LAST = 1.001
"""Factor over the last rung of the budget at which ASHA ends a trial: none ends by reaching it."""
OnStop = Callable[[str, float], None]
"""Called with a trial's name and the budget at which it is stopped."""


class _AtBudget:
    """Reports each stop, and never stops the reference, against which labels saved are counted."""

    on_stop: OnStop
    reference: str

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return the scheduler's decision after a rung."""
        decide = super().on_trial_result  # type: ignore[misc]  # of the scheduler mixed in
        decision: str = decide(tune_controller, trial, result)
        if decision != TrialScheduler.STOP:
            return decision
        if trial.config["group"] == self.reference:
            return str(TrialScheduler.CONTINUE)
        self.on_stop(trial.config["name"], result[TIME])
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Hand the last result to the scheduler if it is that of a rung."""
        if METRIC in result:
            super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]


class AshaAtBudget(_AtBudget, AsyncHyperBandScheduler):  # type: ignore[misc]  # Ray is untyped
    """Asynchronous successive halving (Li et al., MLSys 2020) over shares of the pool."""


class MedianAtBudget(_AtBudget, MedianStoppingRule):  # type: ignore[misc]  # Ray is untyped
    """Median stopping rule (Golovin et al., KDD 2017) over shares of the pool."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return the decision; a trial that was stopped already is not counted again."""
        if trial in self._stopped_trials:
            return str(FIFOScheduler.CONTINUE)
        return super().on_trial_result(tune_controller, trial, result)


def rungs_of(sweep: SweepConfig) -> list[float]:
    """Return the budgets at which trials are compared, as shares of the pool.

    Raises:
        ConfigError: `scheduler.first` is missing, or is not a share.
    """
    scheduler = sweep.scheduler
    if scheduler.kind == "none":
        return []
    first = scheduler.first
    if not isinstance(first, float):
        raise ConfigError(
            f"sweep {sweep.name}: scheduler.first={first!r}: "
            "give the share of the pool at which trials are first compared, e.g. 4 %"
        )
    if scheduler.kind == "asha":
        # These products are the ones that Tune compares with: exact ones may be a last digit lower.
        rungs: list[float] = []
        while first * scheduler.reduction ** len(rungs) <= 1:
            rungs.append(first * scheduler.reduction ** len(rungs))
        return rungs
    return [
        float(exact(first) * number)
        for number in range(1, min(MAX_MEDIAN_RUNGS, int(1 / exact(first))) + 1)
    ]


def open_scheduler(sweep: SweepConfig, *, reference: str, on_stop: OnStop) -> Any:
    """Return Tune's scheduler that `scheduler.kind` asks for.

    Args:
        reference: group whose trials are never stopped.
    """
    settings, rungs = sweep.scheduler, rungs_of(sweep)
    if settings.kind == "none":
        return FIFOScheduler()
    scheduler: Any
    if settings.kind == "asha":
        scheduler = AshaAtBudget(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            grace_period=rungs[0],
            max_t=rungs[-1] * PAST_LAST,
            reduction_factor=settings.reduction,
        )
    else:
        scheduler = MedianAtBudget(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            grace_period=rungs[0],
            min_samples_required=settings.min_trials,
            min_time_slice=float("inf"),  # never pause a trial, which would end its process
        )
    scheduler.reference, scheduler.on_stop = reference, on_stop
    return scheduler

"""Tune's schedulers, made to compare at equal budget.

Tune's own ASHA takes a trial's first result at or past a rung. Here trials report at exactly the rungs (`Reporter`), under a
metric of its own that a cycle's row does not hold, so that the schedulers see nothing else.
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
OnStop = Callable[[str, float], None]


class _AtBudget:
    """Tells of each stop, and never stops the reference strategy: without it nothing can be said of labels saved."""

    on_stop: OnStop
    reference: str

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)  # type: ignore[misc]
        if decision != TrialScheduler.STOP:
            return decision
        if trial.config["group"] == self.reference:
            return str(TrialScheduler.CONTINUE)
        self.on_stop(trial.config["name"], result[TIME])
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if METRIC in result:
            super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]


class AshaAtBudget(_AtBudget, AsyncHyperBandScheduler):
    """Asynchronous successive halving (Li et al., MLSys 2020) over shares of the pool."""


class MedianAtBudget(_AtBudget, MedianStoppingRule):
    """Median stopping rule (Golovin et al., KDD 2017) over shares of the pool."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return (
            FIFOScheduler.CONTINUE
            if trial in self._stopped_trials
            else super().on_trial_result(tune_controller, trial, result)
        )


def rungs_of(sweep: SweepConfig) -> list[float]:
    """Budgets at which trials are compared, as shares of the pool.

    Raises:
        ConfigError: `scheduler.first` is missing, or no share.
    """
    scheduler = sweep.scheduler
    if scheduler.kind == "none":
        return []
    first = scheduler.first
    if not isinstance(first, float):
        raise ConfigError(
            f"sweep {sweep.name}: scheduler.first={first!r}: give the share of the pool at which trials are first compared, e.g. 4 %"
        )
    if scheduler.kind == "asha":
        rungs: list[
            float
        ] = []  # the very products that Tune compares with: the exact ones may be a last digit lower
        while first * scheduler.reduction ** len(rungs) <= 1:
            rungs.append(first * scheduler.reduction ** len(rungs))
        return rungs
    return [
        float(exact(first) * number)
        for number in range(1, min(MAX_MEDIAN_RUNGS, int(1 / exact(first))) + 1)
    ]


def open_scheduler(sweep: SweepConfig, *, reference: str, on_stop: OnStop) -> Any:
    """Tune's scheduler that `scheduler.kind` asks for."""
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
            max_t=rungs[-1] * 1.001,
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

"""The cost of a sweep before it starts: work is counted, and timed by a short measurement."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ray_al.acquisition import find_acquisition
from ray_al.core.config import AutoSteps, RunConfig, TrainConfig
from ray_al.core.strategy import StrategyConfig
from ray_al.core.types import PoolSizes
from ray_al.datasets import open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.tiles import Tiling
from ray_al.driver.budget import final_budgets, planned_amount, whole_budget
from ray_al.driver.cycles import num_members
from ray_al.driver.feature_costs import REMEDY, FeatureCosts, feature_costs
from ray_al.driver.fork import start_config
from ray_al.driver.resources import run_resources
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.timing import Stopwatch
from ray_al.sweep.trial import share_features
from ray_al.sweep.trials import Trial, start_digest


@dataclass(frozen=True, kw_only=True)
class TrialEstimate:
    """The work of one trial, its measured models included.

    Attributes:
        steps: training steps, of which `measured_steps` are those of measured models.
        passes: forward passes over one image each.
    """

    trial: str
    cycles: int
    steps: int
    passes: int
    seconds: float
    measured_steps: int


@dataclass(frozen=True, kw_only=True)
class SweepEstimate:
    """The work of a sweep.

    Attributes:
        trials: their number, with those that Optuna has still to suggest.
        seconds: on this machine, with `at_once` trials at a time.
        features: disk space of the features of frozen backbones.
        plan: the trials that are known beforehand.
    """

    sweep: str
    trials: int
    at_once: int
    steps: int
    passes: int
    seconds: float
    features: tuple[FeatureCosts, ...]
    plan: tuple[TrialEstimate, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as plain values for JSON."""
        values = asdict(self)
        plan = values.pop("plan")
        features = [costs.as_dict() for costs in self.features]
        return {**values, "features": features, "features_text": self.features_text, "plan": plan}

    @property
    def features_text(self) -> list[str]:
        """The disk space of features as lines for people."""
        return [costs.text + ("" if costs.fits else f" -> {REMEDY}") for costs in self.features]


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """The sizes of a pool: its images, regions and pixels, and what else counts."""

    sizes: PoolSizes
    num_val: int
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class _Work:
    steps: int
    passes: int
    cycles: int = 0


def estimate(sweep: SweepConfig, trials: Sequence[Trial], place: str) -> SweepEstimate:
    """Estimate trials, training steps, forward passes, seconds, and bytes of features.

    Steps and passes are counted; a step and a pass are timed on this machine with random images.
    Reading, resizing and evaluating beyond the pass are not included. Settings that Optuna has
    still to suggest count as much as the reference.

    Args:
        place: where the sweep will be written.
    """
    estimator = _Estimator(place)
    rows = [estimator.add(trial) for trial in trials]
    num_suggested = 0
    if sweep.search.kind == "optuna":
        num_suggested = (sweep.search.trials or 0) * len(sweep.seeds)
    at_once = _at_once(sweep, trials)
    factor = 1 + num_suggested / len(rows)
    return SweepEstimate(
        sweep=sweep.name,
        trials=len(rows) + num_suggested,
        at_once=at_once,
        steps=round(sum(row.steps for row in rows) * factor),
        passes=round(sum(row.passes for row in rows) * factor),
        seconds=sum(row.seconds for row in rows) * factor / at_once,
        features=tuple(estimator.stored.values()),
        plan=tuple(rows),
    )


def _at_once(sweep: SweepConfig, trials: Sequence[Trial]) -> int:
    if sweep.limits.at_once != "auto":
        return sweep.limits.at_once
    need = max(run_resources(trial.config).cpus for trial in trials)
    return max(1, int((os.cpu_count() or 1) / need))


class _Estimator:
    """Estimates trials one by one; pools, timings, starts and features that they share count once.

    Attributes:
        stored: features to be stored, by the network and pool that they belong to.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.stored: dict[tuple[str, int], FeatureCosts] = {}
        self._pools: dict[str, _Pool] = {}
        self._starts: set[str] = set()
        self._stopwatch = Stopwatch()

    def add(self, trial: Trial) -> TrialEstimate:
        """Return the work of a trial, given the trials before it."""
        config = trial.config
        data = f"{config.data}{config.regions}{config.budget.unit}"
        if data not in self._pools:
            self._pools[data] = _count_pool(config)
        pool = self._pools[data]
        start = start_config(config)
        shared = self._is_shared(start)
        already = len(start.final.budgets) if start and shared else 0
        chosen = _count_work(config, pool, shared)
        final = config.with_recipe(config.final.recipe)
        measured = _count_measured(config, final, pool, already=already)
        self._store_features(config, pool, data)
        return TrialEstimate(
            trial=trial.name,
            cycles=chosen.cycles,
            steps=chosen.steps + measured.steps,
            passes=chosen.passes + measured.passes,
            seconds=self._seconds(config, chosen, pool) + self._seconds(final, measured, pool),
            measured_steps=measured.steps,
        )

    def _is_shared(self, start: RunConfig | None) -> bool:
        """Return whether an earlier trial has the same start, and remember the start."""
        if start is None:
            return False
        digest = start_digest(start)
        shared = digest in self._starts
        self._starts.add(digest)
        return shared

    def _store_features(self, config: RunConfig, pool: _Pool, data: str) -> None:
        amount = whole_budget(config.budget, pool.sizes)
        shared = share_features(config, self.place)
        costs = feature_costs(shared, pool.sizes, amount, pool.num_val, self.place)
        if costs is not None:
            backbone = config.model.model_dump_json(exclude={"head"})
            self.stored[f"{backbone}{config.features}{data}", costs.num_images] = costs

    def _seconds(self, config: RunConfig, work: _Work, pool: _Pool) -> float:
        if not (work.steps or work.passes):
            return 0.0
        times = self._stopwatch.time(config, pool.num_classes)
        return work.steps * times.step + work.passes * times.forward


def _count_pool(config: RunConfig) -> _Pool:
    """Count the pool; regions that are found in images are taken to be as many as expected."""
    dataset = open_dataset(config.data, asks_people=config.label.validation)
    manifest, _ = build_manifest(
        dataset.splits["train"],
        config.regions.expected_regions,
        dataset.pixels,
        tiling=Tiling.of(config.data),
    )
    heights, widths = (
        manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width")
    )
    sizes = PoolSizes(
        num_images=len(manifest),
        num_regions=sum(manifest.column("num_regions").to_pylist()),
        num_pixels=int(np.multiply(heights, widths).sum()),
    )
    return _Pool(sizes=sizes, num_val=len(dataset.splits["val"]), num_classes=dataset.num_classes)


def _count_work(config: RunConfig, pool: _Pool, shared: bool) -> _Work:
    """Count the work of the models that choose.

    Args:
        shared: whether cycle 0 is trained by another trial.
    """
    num_images = pool.sizes.num_images
    left = whole_budget(config.budget, pool.sizes)
    cycles = 0
    while left > 0:
        left -= planned_amount(config.budget, pool.sizes, cycles - 1, left)
        cycles += 1
    trained = (cycles - int(shared)) * num_members(config, 0)
    scored = (cycles - 1) * num_images * _passes_per_image(config.strategy)
    return _Work(
        steps=trained * _most_steps(config.train, num_images),
        passes=trained * pool.num_val + scored,
        cycles=cycles,
    )


def _count_measured(config: RunConfig, final: RunConfig, pool: _Pool, *, already: int) -> _Work:
    """Count the work of the models that are measured.

    Args:
        final: the configuration by which they are trained.
        already: number of budgets at which the shared start measures.
    """
    amount = whole_budget(config.budget, pool.sizes)
    totals = [0]
    while totals[-1] < amount:
        left = amount - totals[-1]
        totals.append(totals[-1] + planned_amount(config.budget, pool.sizes, len(totals) - 2, left))
    budgets = final_budgets(config, pool.sizes)[already:]
    cycles = sum(
        any(before < budget <= now for budget in budgets)
        for before, now in itertools.pairwise(totals)
    )
    models = cycles * config.final.num_repeats
    return _Work(
        steps=models * _most_steps(final.train, pool.sizes.num_images),
        passes=models * pool.num_val,
    )


def _most_steps(train: TrainConfig, num_images: int) -> int:
    """Return the steps of a cycle: the most if their number follows the labels."""
    if isinstance(train.steps, AutoSteps):
        return train.steps.max
    if train.steps is not None:
        return train.steps
    return (train.epochs or 1) * max(1, num_images // train.batch_size)


def _passes_per_image(strategy: StrategyConfig) -> int:
    """Return the forward passes over one image that is scored."""
    function = find_acquisition(strategy.acquisition)
    several = strategy.passes.count + ("plain" in function.wants)
    counts = {"none": 0, "logits": 1, "transforms": 1 + len(strategy.transforms), "passes": several}
    return counts[function.inputs] + strategy.batch.reads_features


def estimate_text(found: SweepEstimate) -> str:
    """Return the estimate as a table for people."""
    width = max(len(row.trial) for row in found.plan)
    lines = [f"{'trial':{width}s} {'cycles':>7s} {'steps':>8s} {'passes':>9s} {'minutes':>8s}"]
    lines += [
        f"{row.trial:{width}s} {row.cycles:7d} {row.steps:8d} {row.passes:9d} "
        f"{row.seconds / 60:8.1f}"
        for row in found.plan
    ]
    total = (
        f"{found.trials} trials, {found.at_once} at once: {found.steps} training steps, "
        f"{found.passes} forward passes"
    )
    if measured := sum(row.measured_steps for row in found.plan):
        total += f" ({measured} steps of the plan are those of measured models)"
    minutes = f"about {found.seconds / 60:.0f} minutes on this machine"
    return "\n".join([*lines, *found.features_text, f"{total}, {minutes}"])

"""What a sweep will cost, before it starts: counted, and timed by a short measurement."""

import itertools
import os
import time
from typing import Any, cast

import numpy as np
import torch

from ray_al.core.config import AutoSteps, RunConfig, TrainConfig
from ray_al.core.strategy import StrategyConfig
from ray_al.datasets import open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.driver.budget import final_budgets, query_size, total_amount
from ray_al.driver.decide import num_members
from ray_al.driver.feature_costs import REMEDY, FeatureCosts, feature_costs
from ray_al.driver.fork import start_config
from ray_al.driver.resources import run_resources
from ray_al.models import build_model
from ray_al.models.composed import ComposedNetwork
from ray_al.models.state import is_split
from ray_al.score.functions import find_acquisition
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.plan import Trial, start_digest
from ray_al.sweep.trial import share_features
from ray_al.train.inputs import Inputs

TIMED_STEPS = 3


def estimate(sweep: SweepConfig, trials: list[Trial], place: str) -> dict[str, Any]:
    """Trials, training steps, forward passes, seconds, and bytes of features.

    Steps and passes are counted; a step and a pass are timed on this machine with random images. Reading, resizing and
    evaluating beyond the pass are not in it. Settings that Optuna has still to suggest are counted as the reference.

    Args:
        place: where the sweep will be written.
    """
    costs: dict[str, tuple[float, float]] = {}
    pools: dict[str, tuple[dict[str, int], int, int]] = {}
    rows: list[dict[str, Any]] = []
    starts: set[str] = set()
    stored: dict[tuple[str, int], FeatureCosts] = {}
    for trial in trials:
        config = trial.config
        data = f"{config.data}{config.regions}{config.budget.unit}"
        if data not in pools:
            pools[data] = _count(config)
        pool = pools[data]
        start = start_config(config)
        shared = start is not None and start_digest(start) in starts
        if start is not None:
            starts.add(start_digest(start))
        steps, passes, cycles = _count_work(config, pool, shared)
        final = config.with_recipe(config.final.recipe)
        final_steps, final_passes = _count_measured(
            config, final, pool, already=len(start.final.budgets) if start and shared else 0
        )
        seconds = _seconds(config, steps, passes, pool[2], costs) + _seconds(
            final, final_steps, final_passes, pool[2], costs
        )
        created = {**pool[0], "amount": total_amount(config.budget, pool[0])}
        features = feature_costs(share_features(config, place), created, pool[1], place)
        if features is not None:
            stored[
                f"{config.model.model_dump_json(exclude={'head'})}{config.features}{data}",
                features.num_images,
            ] = features
        row = {
            "trial": trial.name,
            "cycles": cycles,
            "steps": steps + final_steps,
            "passes": passes + final_passes,
            "seconds": seconds,
        }
        rows.append({**row, "measured_steps": final_steps})
    more = (sweep.search.trials or 0) * len(sweep.seeds) if sweep.search.kind == "optuna" else 0
    need = max(run_resources(trial.config).cpus for trial in trials)
    at_once = (
        sweep.limits.at_once
        if sweep.limits.at_once != "auto"
        else max(1, int((os.cpu_count() or 1) / need))
    )
    factor = 1 + more / len(rows)
    return {
        "sweep": sweep.name,
        "trials": len(rows) + more,
        "at_once": at_once,
        "steps": round(sum(row["steps"] for row in rows) * factor),
        "passes": round(sum(row["passes"] for row in rows) * factor),
        "seconds": sum(row["seconds"] for row in rows) * factor / at_once,
        "features": [costs.as_dict() for costs in stored.values()],
        "features_text": [
            costs.text + ("" if costs.fits else f" -> {REMEDY}") for costs in stored.values()
        ],
        "plan": rows,
    }


def _seconds(
    config: RunConfig,
    steps: int,
    passes: int,
    num_classes: int,
    costs: dict[str, tuple[float, float]],
) -> float:
    """Of so many steps and passes; `costs` keeps what was timed."""
    if not (steps or passes):
        return 0.0
    key = f"{config.model}{config.train}{config.data.image_size}"
    if key not in costs:
        costs[key] = _measure(config, num_classes)
    step, forward = costs[key]
    return steps * step + passes * forward


def _count(config: RunConfig) -> tuple[dict[str, int], int, int]:
    """The pool (images, regions, pixels), validation images, classes; of regions that are found in images as many as are expected."""
    dataset = open_dataset(config.data)
    manifest, _ = build_manifest(dataset.splits["train"], config.regions.expected_regions)
    sizes = (manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width"))
    pool = {
        "num_images": len(manifest),
        "num_regions": sum(manifest.column("num_regions").to_pylist()),
        "num_pixels": int(np.multiply(*sizes).sum()),
    }
    return pool, len(dataset.splits["val"]), dataset.num_classes


def _count_work(
    config: RunConfig, counted: tuple[dict[str, int], int, int], shared: bool
) -> tuple[int, int, int]:
    pool, num_val, _ = counted
    num_images = pool["num_images"]
    left = total_amount(config.budget, pool)
    cycles = 0
    while left > 0:
        left -= query_size(config.budget, pool, cycles - 1, left)
        cycles += 1
    per_image = _num_passes(config.strategy)
    trained = (cycles - int(shared)) * num_members(config, 0)
    return (
        trained * _most_steps(config.train, num_images),
        trained * num_val + (cycles - 1) * num_images * per_image,
        cycles,
    )


def _count_measured(
    config: RunConfig, final: RunConfig, counted: tuple[dict[str, int], int, int], *, already: int
) -> tuple[int, int]:
    """Steps and forward passes of the models that are measured.

    Args:
        final: the configuration by which they are trained.
        already: budgets at which the shared start measures.
    """
    pool, num_val, _ = counted
    totals, amount = [0], total_amount(config.budget, pool)
    while totals[-1] < amount:
        totals.append(
            totals[-1] + query_size(config.budget, pool, len(totals) - 2, amount - totals[-1])
        )
    budgets = final_budgets(config, pool)[already:]
    cycles = sum(
        any(before < budget <= now for budget in budgets)
        for before, now in itertools.pairwise(totals)
    )
    models = cycles * config.final.num_repeats
    return models * _most_steps(final.train, pool["num_images"]), models * num_val


def _most_steps(train: TrainConfig, num_images: int) -> int:
    """Steps of a cycle; of a length that follows the labels the most there can be."""
    if isinstance(train.steps, AutoSteps):
        return train.steps.max
    return (
        train.steps
        if train.steps is not None
        else (train.epochs or 1) * max(1, num_images // train.batch_size)
    )


def _num_passes(strategy: StrategyConfig) -> int:
    """Forward passes over an image that is scored."""
    function = find_acquisition(strategy.score)
    several = strategy.passes.count + ("plain" in function.wants)
    counts = {"none": 0, "logits": 1, "transforms": 1 + len(strategy.transforms), "passes": several}
    return counts[function.inputs] + strategy.batch.reads_features


def _measure(config: RunConfig, num_classes: int) -> tuple[float, float]:
    """Seconds of a training step and of one image's forward pass."""
    torch.set_num_threads(config.train.threads)
    model = build_model(config.model.model_copy(update={"weights": "none"}), num_classes)
    images = torch.rand(config.train.batch_size, 3, *config.data.image_size)
    inputs: Inputs = images
    if is_split(model):  # a frozen backbone sees each image once
        with torch.no_grad():
            inputs = cast(ComposedNetwork, model.eval()).maps(images)
    times = []
    for _ in range(TIMED_STEPS + 1):
        begin = time.perf_counter()
        model.train()
        model(inputs).mean().backward()
        middle = time.perf_counter()
        with torch.inference_mode():
            model.eval()(inputs)
        times.append((middle - begin, (time.perf_counter() - middle) / config.train.batch_size))
    steps, passes = zip(*times[1:], strict=True)
    return min(steps), min(passes)


def estimate_text(facts: dict[str, Any]) -> str:
    """The plan for people."""
    width = max(len(row["trial"]) for row in facts["plan"])
    lines = [f"{'trial':{width}s} {'cycles':>7s} {'steps':>8s} {'passes':>9s} {'minutes':>8s}"]
    lines += [
        f"{r['trial']:{width}s} {r['cycles']:7d} {r['steps']:8d} {r['passes']:9d} {r['seconds'] / 60:8.1f}"
        for r in facts["plan"]
    ]
    total = f"{facts['trials']} trials, {facts['at_once']} at once: {facts['steps']} training steps, {facts['passes']} forward passes"
    if measured := sum(row["measured_steps"] for row in facts["plan"]):
        total += f" ({measured} steps of the plan are those of measured models)"
    return "\n".join(
        [
            *lines,
            *facts["features_text"],
            f"{total}, about {facts['seconds'] / 60:.0f} minutes on this machine",
        ]
    )

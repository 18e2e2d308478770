"""Measure the labels of a cycle: train new models by the final recipe, and evaluate them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.errors import DivergedError
from ray_al.core.run_dir import CycleDir
from ray_al.core.seeding import seed_of
from ray_al.core.types import TrainPlan, TrainResult
from ray_al.datasets import Dataset
from ray_al.driver import decide as actions
from ray_al.driver.context import Context, Done
from ray_al.driver.training import (
    TrainCallbacks,
    count_left_out,
    kept_facts,
    left_out_images,
    train_usable,
)
from ray_al.train.trainer import Trainer


def measure(context: Context, action: actions.Measure, trainer: Trainer) -> Done:
    """Train and evaluate the models of a cycle that are not measured yet, then sum them up.

    Each model is recorded when it is done, so an interruption loses none of them. No model is kept:
    the choices of the run do not depend on them.
    """
    cycle, count = action.cycle, context.config.final.num_repeats
    for repeat in range(count):
        if repeat not in context.state.repeats.get(cycle, {}):
            context.append("model_measured", _measure_one(context, cycle, repeat, trainer))
    budget = actions.budget_to_measure(context.state, context.config, cycle)
    assert budget is not None
    done = context.state.repeats_of(cycle)
    seconds = sum(model.train_seconds + model.evaluate_seconds for model in done)
    scores = summary([model.val.miou for model in done])
    return "models_measured", {"cycle": cycle, "budget": budget, **scores, "seconds": seconds}


def summary(mious: Sequence[float]) -> dict[str, Any]:
    """Return `mious`, their mean `miou` and their sample standard deviation `spread`.

    The spread of a single value is None; without any, so is the mean.
    """
    spread = float(np.std(mious, ddof=1)) if len(mious) > 1 else None
    mean = float(np.mean(mious)) if mious else None
    return {"mious": list(mious), "miou": mean, "spread": spread}


def repeat_seed(config: RunConfig, repeat: int) -> int:
    """Return the seed of a measured model.

    It is the run's own if the run has one final model and no `final.budgets`.
    """
    if config.final.num_repeats == 1 and not config.final.budgets:
        return config.seed
    return seed_of("measured", config.seed, repeat)


def measured_splits(dataset: Dataset) -> tuple[str, ...]:
    """Return the splits to evaluate on; scores on the test split are recorded, and never used."""
    masked = [
        name for name, files in dataset.splits.items() if any(file.mask_uri for file in files)
    ]
    return tuple(name for name in ("val", "test") if name in masked)


def _measure_one(context: Context, cycle: int, repeat: int, trainer: Trainer) -> Mapping[str, Any]:
    """Train and evaluate one model; return the data of the event that records it."""
    count = context.config.final.num_repeats

    def progress(done: int, total: int) -> None:
        context.note("measure", repeat * total + done, count * total)

    def waiting(text: str) -> None:
        context.note("measure", 0, 0, text)

    try:
        result = train_usable(
            context,
            partial(_plan, context, cycle, repeat),
            trainer,
            TrainCallbacks(progress=progress, should_stop=context.should_stop, waiting=waiting),
        )
    except DivergedError as error:
        raise _with_remedy(error, context, repeat) from None
    context.storage.remove(CycleDir(cycle).measuring(repeat).folder)
    return {
        "cycle": cycle,
        "repeat": repeat,
        **measured_facts(result),
        "left_out": count_left_out(context),
    }


def _with_remedy(error: DivergedError, context: Context, repeat: int) -> DivergedError:
    """Return the error with a remedy that needs no new run: nothing depends on measured models."""
    what = str(error).partition(";")[0]
    rate = context.config.with_recipe(context.config.final.recipe).train.learning_rate
    return DivergedError(
        f"{what} (of the models to be measured, number {repeat + 1} of "
        f"{context.config.final.num_repeats}, with a learning rate of {rate:g}); lower it and "
        f"continue: `ray-al resume {context.storage.root} "
        f"--set final.train.learning_rate={rate / 10:g}`"
    )


def measured_facts(result: TrainResult) -> dict[str, Any]:
    """Return what is recorded of a measured model."""
    return {
        "metrics": {split: metrics.as_dict() for split, metrics in result.metrics.items()},
        "num_steps": result.num_steps,
        "num_images": result.num_images,
        "train_seconds": result.train_seconds,
        "evaluate_seconds": result.evaluate_seconds,
        **kept_facts(result),
    }


def _plan(context: Context, cycle: int, repeat: int) -> TrainPlan:
    config, state = context.config, context.state
    folder = CycleDir(cycle).measuring(repeat)
    return TrainPlan(
        cycle=cycle,
        attempt=state.term,
        seed=repeat_seed(config, repeat),
        label_parts=state.label_parts,
        left_out=left_out_images(context),
        output=folder.checkpoint,
        progress=folder.progress,
        splits=measured_splits(context.dataset),
        recipe=config.final.recipe,
        keeps_model=False,
        sieve=state.trained[cycle].model if config.label.sieves else None,
    )

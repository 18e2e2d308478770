"""Measure the labels of a cycle: train new models by the final recipe, and evaluate them."""

from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.errors import DivergedError
from ray_al.core.run_dir import CycleDir
from ray_al.core.types import TrainPlan
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.cycles import budget_to_measure, next_cycle
from ray_al.driver.measured import measured_splits, repeat_seed, summary
from ray_al.driver.training import (
    TrainCallbacks,
    count_left_out,
    kept_evaluations,
    left_out_images,
    manifest_of,
    train_usable,
)
from ray_al.driver.validation_labels import masks_of
from ray_al.ledger import State
from ray_al.ledger.records import ModelMeasured, ModelsMeasured, SplitMetrics


@dataclass(frozen=True)
class Measure(Action):
    """Train new models by the final recipe on the labels of a cycle, and evaluate them."""

    leads_to_training = True
    extends_curve = True
    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Measure the first cycle whose labels reach one of `final.budgets`."""
        cycle = next_cycle(state, config)
        if cycle in state.measured or budget_to_measure(state, config, cycle) is None:
            return None
        return cls(cycle)

    def perform(self, context: Context) -> ModelsMeasured:
        """Train and evaluate the models that are not measured yet, then sum all of them up.

        Each model is recorded when it is done, so an interruption loses none of them. No model is
        kept: the choices of the run do not depend on them.
        """
        cycle = self.cycle
        for repeat in range(context.config.final.num_repeats):
            if repeat not in context.state.repeats.get(cycle, {}):
                context.append(_measure_one(context, cycle, repeat))
        budget = budget_to_measure(context.state, context.config, cycle)
        assert budget is not None
        done = context.state.repeats_of(cycle)
        # Settings with `final.budgets` are refused without validation images.
        scores = summary([model.val.miou for model in done])
        assert scores.miou is not None
        return ModelsMeasured(
            cycle=cycle,
            budget=budget,
            mious=scores.mious,
            miou=scores.miou,
            spread=scores.spread,
            seconds=sum(model.train_seconds + model.evaluate_seconds for model in done),
        )


def _measure_one(context: Context, cycle: int, repeat: int) -> ModelMeasured:
    """Train and evaluate one model."""
    count = context.config.final.num_repeats

    def progress(done: int, total: int) -> None:
        context.note("measure", repeat * total + done, count * total)

    def waiting(text: str) -> None:
        context.note("measure", 0, 0, text)

    try:
        result = train_usable(
            context,
            partial(_plan, context, cycle, repeat),
            TrainCallbacks(progress=progress, should_stop=context.should_stop, waiting=waiting),
        )
    except DivergedError as error:
        raise _with_remedy(error, context, repeat) from None
    context.storage.remove(CycleDir(cycle).measuring(repeat).folder)
    return ModelMeasured(
        cycle=cycle,
        repeat=repeat,
        metrics={split: SplitMetrics.of(metrics) for split, metrics in result.metrics.items()},
        num_steps=result.num_steps,
        num_images=result.num_images,
        train_seconds=result.train_seconds,
        evaluate_seconds=result.evaluate_seconds,
        kept_step=result.kept_step,
        evaluations=kept_evaluations(result),
        left_out=count_left_out(context),
    )


def _with_remedy(error: DivergedError, context: Context, repeat: int) -> DivergedError:
    """Return the error with a remedy that needs no new run: nothing depends on measured models."""
    what = str(error).partition(";")[0]
    rate = context.config.with_recipe(context.config.final.recipe).train.learning_rate
    return DivergedError(
        f"{what} (of the models to be measured, number {repeat + 1} of "
        f"{context.config.final.num_repeats}, with a learning rate of {rate:g}); lower it and "
        f"continue: `ray-al resume {quote(context.storage.root)} "
        f"--set final.train.learning_rate={rate / 10:g}`"
    )


def _plan(context: Context, cycle: int, repeat: int) -> TrainPlan:
    config, state = context.config, context.state
    folder = CycleDir(cycle).measuring(repeat)
    return TrainPlan(
        cycle=cycle,
        attempt=state.attempt,
        seed=repeat_seed(config, repeat),
        label_parts=state.label_parts,
        left_out=left_out_images(context),
        output=folder.checkpoint,
        partial_checkpoint=folder.partial_checkpoint,
        splits=measured_splits(context.dataset),
        recipe=config.final.recipe,
        keeps_model=False,
        sieve=state.trained[cycle].model if config.label.sieves else None,
        manifest=manifest_of(state),
        validation=masks_of(state),
    )

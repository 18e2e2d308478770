"""Train a plan, without images that turn out broken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ray_al.core.errors import BrokenImagesError
from ray_al.core.run_dir import MODEL, SNAPSHOT
from ray_al.core.types import START_CYCLE, FileRef, TrainPlan, TrainResult
from ray_al.driver.context import Context
from ray_al.ledger import State
from ray_al.ledger.records import BrokenImage, LeftOut
from ray_al.report.left_out import labels_left_out

if TYPE_CHECKING:
    from ray_al.train.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class TrainCallbacks:
    """How a training reports and is stopped.

    Attributes:
        progress: called with the number of steps done and in total.
        should_stop: asked often; True ends the training.
        waiting: called with the reason for a wait.
    """

    progress: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    waiting: Callable[[str], None]


def run_plan(trainer: "Trainer", plan: TrainPlan, callbacks: TrainCallbacks) -> TrainResult:
    """Train one plan.

    Raises:
        BrokenImagesError: labelled images cannot be used.
        RayALError: the training failed.
    """
    return trainer.train(
        plan,
        progress=callbacks.progress,
        should_stop=callbacks.should_stop,
        waiting=callbacks.waiting,
    )


def kept_evaluations(result: TrainResult) -> tuple[tuple[int, float], ...] | None:
    """Return the evaluations of a training that kept its best weights; None of others."""
    return None if result.kept_step is None else tuple(result.evaluations)


def train_usable(
    context: Context,
    make_plan: Callable[[], TrainPlan],
    callbacks: TrainCallbacks,
) -> TrainResult:
    """Train on the images that can be used.

    Images that turn out broken are quarantined, and the plan is made again without them.
    """
    while True:
        plan = make_plan()
        try:
            result = run_plan(context.trainer, plan, callbacks)
        except BrokenImagesError as error:
            broken = error.images.items()
            context.quarantine([BrokenImage(image_id=name, error=why) for name, why in broken])
            continue
        context.storage.remove(plan.partial_checkpoint)
        return result


def manifest_of(state: State) -> FileRef | None:
    """Return the manifest that a plan names: that of a run that was extended."""
    return state.created.manifest if state.extensions else None


def left_out_images(context: Context) -> tuple[int, ...]:
    """Return the image_index of each labelled image that cannot be used."""
    return tuple(np.flatnonzero(context.pool.broken & context.pool.labelled_images).tolist())


def count_left_out(context: Context) -> LeftOut:
    """Count the labelled images that cannot be used, and their labelled regions.

    These regions were paid for, and are not trained on.
    """
    counts = labels_left_out(context.storage, context.state)
    return LeftOut(images=len(counts), regions=sum(counts.values()))


def is_untrained(context: Context, cycle: int) -> bool:
    """Return whether the model of `cycle` is only built, because nothing is labelled yet."""
    return cycle == START_CYCLE and not context.config.budget.start_rule.seed_part


def score_weights(context: Context, cycle: int) -> tuple[FileRef, ...]:
    """Return the models that score in `cycle`, snapshots and members included; may be empty."""
    if cycle not in context.state.trained:
        return ()
    files = context.state.trained[cycle].files
    names = [MODEL, *sorted(name for name in files if name.startswith(SNAPSHOT))]
    members = (member.model for member in context.state.members_of(cycle))
    return (*(files[name] for name in names), *members)

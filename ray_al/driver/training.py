"""Train the model of a cycle, or another member of its ensemble."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_al.acquisition import find_acquisition
from ray_al.core.errors import BrokenImagesError, RayALError
from ray_al.core.run_dir import MODEL, OPTIMIZER, PREVIEW, SNAPSHOT, CycleDir
from ray_al.core.seeding import seed_of
from ray_al.core.shares import exact
from ray_al.core.types import (
    START_CYCLE,
    FileRef,
    ImageFile,
    Recipe,
    TrainPlan,
    TrainResult,
)
from ray_al.driver import decide as actions
from ray_al.driver.context import Context, Done
from ray_al.driver.pool import read_table
from ray_al.ledger import State
from ray_al.report.left_out import labels_left_out
from ray_al.train.trainer import Trainer

KEPT = (PREVIEW,)
"""Files of old checkpoints that are kept because the report shows them."""


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


def run_plan(trainer: Trainer, plan: TrainPlan, callbacks: TrainCallbacks) -> TrainResult:
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


def train(context: Context, action: actions.Train, trainer: Trainer) -> Done:
    """Train by the plan of the cycle, and return the event that records the model."""
    cycle, state = action.cycle, context.state
    if not is_untrained(context, cycle) and not state.label_parts:
        raise RayALError(
            f"cycle {cycle}: not one label of the start set could be used; see the refused ones "
            "with `ray-al status`"
        )
    result = train_usable(
        context,
        lambda: _plan(context, cycle, action.member),
        trainer,
        TrainCallbacks(
            progress=lambda done, total: context.note("train", done, total),
            should_stop=context.should_stop,
            waiting=lambda text: context.note("train", 0, 0, text),
        ),
    )
    if action.member:
        return "member_trained", {"cycle": cycle, "member": action.member, **_files(result)}
    return "cycle_trained", {
        "cycle": cycle,
        **_files(result),
        "metrics": {split: metrics.as_dict() for split, metrics in result.metrics.items()},
        "labelled": {
            "regions": state.labelled_regions,
            "pixels": state.labelled_pixels,
            "images": int(context.pool.labelled_images.sum()),
            "clicks": state.labelled_clicks,
            "visits": state.visits,
            "cost": state.spent,
        },
        "left_out": count_left_out(context),
        "class_pixels": list(result.class_pixels),
        "losses": [list(pair) for pair in result.losses],
        "num_images": result.num_images,
        "evaluate_seconds": result.evaluate_seconds,
        **kept_facts(result),
    }


def kept_facts(result: TrainResult) -> dict[str, Any]:
    """Return what is recorded of a training that kept its best weights; nothing of others."""
    if result.kept_step is None:
        return {}
    evaluations = [list(pair) for pair in result.evaluations]
    return {"kept_step": result.kept_step, "evaluations": evaluations}


def train_usable(
    context: Context,
    make_plan: Callable[[], TrainPlan],
    trainer: Trainer,
    callbacks: TrainCallbacks,
) -> TrainResult:
    """Train on the images that can be used.

    Images that turn out broken are quarantined, and the plan is made again without them.
    """
    while True:
        plan = make_plan()
        try:
            result = run_plan(trainer, plan, callbacks)
        except BrokenImagesError as error:
            broken = error.images.items()
            context.quarantine([{"image_id": name, "error": reason} for name, reason in broken])
            continue
        context.storage.remove(plan.progress)
        return result


def left_out_images(context: Context) -> tuple[int, ...]:
    """Return the image_index of each labelled image that cannot be used."""
    return tuple(np.flatnonzero(context.pool.broken & context.pool.labelled_images).tolist())


def count_left_out(context: Context) -> dict[str, int]:
    """Count the labelled images that cannot be used, and their labelled regions.

    These regions were paid for, and are not trained on.
    """
    counts = labels_left_out(context.storage, context.state)
    return {"images": len(counts), "regions": sum(counts.values())}


def _files(result: TrainResult) -> dict[str, Any]:
    return {
        "files": {name: ref.as_dict() for name, ref in result.files.items()},
        "num_steps": result.num_steps,
        "train_seconds": result.train_seconds,
    }


def is_untrained(context: Context, cycle: int) -> bool:
    """Return whether the model of `cycle` is only built, because nothing is labelled yet."""
    return cycle == START_CYCLE and not context.config.budget.start_rule.seed_part


def _plan(context: Context, cycle: int, member: int) -> TrainPlan:
    state, settings = context.state, context.config.train
    previous = _previous_files(context, cycle, member) if settings.policy != "reset" else {}
    folder = CycleDir(cycle).training(member)
    passes = context.config.strategy_at(cycle).passes
    trained_before = bool(previous) and not is_untrained(context, cycle - 1)
    snapshots = passes.num_snapshots if uses_passes(context, cycle) else 0
    return TrainPlan(
        cycle=cycle,
        attempt=state.term,
        seed=seed_of("member", context.config.seed, member) if member else context.config.seed,
        label_parts=state.label_parts,
        left_out=left_out_images(context),
        output=folder.checkpoint,
        progress=folder.progress,
        init=previous.get(MODEL),
        init_optimizer=previous.get(OPTIMIZER) if settings.policy == "continue" else None,
        preview_images=_preview_images(context) if cycle > START_CYCLE and not member else (),
        extra_epochs=settings.extra_epochs if _is_extra(context, cycle) else None,
        splits=() if member else ("val",),
        steps=0 if is_untrained(context, cycle) else None,
        recipe=Recipe(train={"learning_rate": settings.warm_learning_rate})
        if settings.warm_learning_rate and trained_before
        else Recipe(),
        snapshots=snapshots,
        sieve=_sieve(context, cycle),
    )


def _sieve(context: Context, cycle: int) -> FileRef | None:
    """Return the model of the previous cycle if dominant labels are sieved."""
    known = context.state.trained.get(cycle - 1)
    if not context.config.label.sieves or known is None or is_untrained(context, cycle - 1):
        return None
    return known.model


def uses_passes(context: Context, cycle: int) -> bool:
    """Return whether the score of `cycle` compares several passes over an image."""
    return find_acquisition(context.config.strategy_at(cycle).acquisition).inputs == "passes"


def _previous_files(context: Context, cycle: int, member: int) -> Mapping[str, FileRef]:
    state = context.state
    if member:
        before = state.members.get(cycle - 1, {}).get(member)
        return before.files if before else {}
    known = state.trained.get(cycle - 1)
    return known.files if known else {}


def score_weights(context: Context, cycle: int) -> tuple[FileRef, ...]:
    """Return the models that score in `cycle`, snapshots and members included; may be empty."""
    if cycle not in context.state.trained:
        return ()
    files = context.state.trained[cycle].files
    names = [MODEL, *sorted(name for name in files if name.startswith(SNAPSHOT))]
    members = (member.model for member in context.state.members_of(cycle))
    return (*(files[name] for name in names), *members)


def _preview_images(context: Context) -> tuple[ImageFile, ...]:
    """Return the usable images with the most regions in the start set; the report follows them."""
    start = read_table(context.storage, context.state.queries[0].file, ["image_id"])
    counts = (
        start.group_by("image_id")
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "descending"), ("image_id", "ascending")])
    )
    usable = [
        image_id
        for image_id in counts.column("image_id").to_pylist()
        if image_id not in context.state.quarantined
    ]
    chosen = usable[: context.config.report.num_images]
    uris = context.pool.manifest.column("uri")
    indices = context.pool.indices_of(chosen)
    return tuple(
        ImageFile(image_id=image_id, uri=uris[index].as_py())
        for image_id, index in zip(chosen, indices, strict=True)
    )


def _is_extra(context: Context, cycle: int) -> bool:
    """Return whether the cycle trains extra epochs, as EquAL does.

    It does if spending has passed another n-th of the budget since the last cycle.
    """
    every, state = context.config.train.extra_every, context.state
    if every is None or cycle <= START_CYCLE:
        return False
    known = state.trained.get(cycle - 1)
    before = known.labelled.cost if known else 0
    part = exact(every) * state.amount
    has_passed: bool = state.spent // part > before // part
    return has_passed


def drop_old_checkpoints(context: Context, cycle: int) -> None:
    """Remove the checkpoints that no later cycle needs.

    It is called once the training of `cycle` is recorded, which may need the previous checkpoint.
    Each call removes those of two cycles, because a host may have died before it removed the first
    one. Checking all cycles each time would take quadratic time.
    """
    last = cycle - context.config.cluster.keep_checkpoints
    for old in (last - 1, last):
        for files in _files_of(context.state, old):
            for name, ref in files.items():
                if name not in KEPT:
                    context.storage.remove(ref.path)


def _files_of(state: State, cycle: int) -> list[Mapping[str, FileRef]]:
    """Return the checkpoints of a cycle: its model's, and those of its ensemble."""
    model = state.trained.get(cycle)
    members = [member.files for member in state.members_of(cycle)]
    return [model.files, *members] if model else members

"""Train the model of a cycle, or another member of its ensemble."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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
from ray_al.score.functions import find_acquisition
from ray_al.train.trainer import Trainer

KEPT = (PREVIEW,)
"""Files of old checkpoints that stay: the report shows them."""


def train(context: Context, action: actions.Train, trainer: Trainer) -> Done:
    """Give out the plan and record the answer."""
    cycle, state = action.cycle, context.state
    if not is_untrained(context, cycle) and not state.label_parts:
        raise RayALError(
            f"cycle {cycle}: not one label of the start set could be used; see the refused ones with `ray-al status`"
        )
    result = train_usable(
        context,
        lambda: _plan(context, cycle, action.member),
        trainer,
        progress=lambda done, total: context.note("train", done, total),
        waiting=lambda text: context.note("train", 0, 0, text),
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
    }


def train_usable(
    context: Context, make_plan: Callable[[], TrainPlan], trainer: Trainer, **told: Any
) -> TrainResult:
    """Train on the images that can be used: those that turn out broken are quarantined, and the plan is made anew, without them.

    Args:
        told: `progress` and `waiting`, as `Trainer.train` takes them.
    """
    while True:
        plan = make_plan()
        try:
            result = trainer.train(plan, should_stop=context.should_stop, **told)
        except BrokenImagesError as error:
            context.quarantine(
                [
                    {"image_id": image_id, "error": reason}
                    for image_id, reason in error.images.items()
                ]
            )
            continue
        context.storage.remove(plan.progress)
        return result


def left_out_images(context: Context) -> tuple[int, ...]:
    """Numbers of the labelled images that cannot be used."""
    return tuple(np.flatnonzero(context.pool.broken & context.pool.labelled_images).tolist())


def count_left_out(context: Context) -> dict[str, int]:
    """Labelled images that cannot be used, and their labelled regions: paid for, and not trained on."""
    counts = labels_left_out(context.storage, context.state)
    return {"images": len(counts), "regions": sum(counts.values())}


def _files(result: TrainResult) -> dict[str, Any]:
    return {
        "files": {name: ref.as_dict() for name, ref in result.files.items()},
        "num_steps": result.num_steps,
        "train_seconds": result.train_seconds,
    }


def is_untrained(context: Context, cycle: int) -> bool:
    """Whether the model of `cycle` is only built: nothing is labelled yet."""
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
    """The model of the cycle before, where dominant labels are sieved."""
    known = context.state.trained.get(cycle - 1)
    if not context.config.label.sieves or known is None or is_untrained(context, cycle - 1):
        return None
    return known.model


def uses_passes(context: Context, cycle: int) -> bool:
    return find_acquisition(context.config.strategy_at(cycle).score).inputs == "passes"


def _previous_files(context: Context, cycle: int, member: int) -> Mapping[str, FileRef]:
    state = context.state
    if member:
        before = state.members.get(cycle - 1, {}).get(member)
        return before.files if before else {}
    known = state.trained.get(cycle - 1)
    return known.files if known else {}


def score_weights(context: Context, cycle: int) -> tuple[FileRef, ...]:
    """The models that score in `cycle`; empty where there is none."""
    if cycle not in context.state.trained:
        return ()
    files = context.state.trained[cycle].files
    names = [MODEL, *sorted(name for name in files if name.startswith(SNAPSHOT))]
    members = (member.model for member in context.state.members_of(cycle))
    return (*(files[name] for name in names), *members)


def _preview_images(context: Context) -> tuple[ImageFile, ...]:
    """The usable images with most regions in the start set: what the report follows."""
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
    """Whether spending crossed another n-th of the budget since the last cycle (EquAL's extra epochs)."""
    every, state = context.config.train.extra_every, context.state
    if every is None or cycle <= START_CYCLE:
        return False
    known = state.trained.get(cycle - 1)
    before = known.labelled.cost if known else 0
    part = exact(every) * state.amount
    return state.spent // part > before // part


def drop_old_checkpoints(context: Context, cycle: int) -> None:
    """Remove those that no later cycle needs; called once the training of `cycle` is recorded, as until then it may need the last one's.

    Those of two cycles at a time, as a host may have died before it removed the first one's: to go through all of them at each cycle would
    take the square of their number.
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

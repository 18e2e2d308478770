"""Train the model of a cycle, or another member of its ensemble."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError
from ray_al.core.run_dir import KEPT_FILES, MODEL, OPTIMIZER, CycleDir
from ray_al.core.seeding import seed_of
from ray_al.core.shares import exact
from ray_al.core.types import START_CYCLE, FileRef, ImageFile, Recipe, TrainPlan
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.cycles import compares_passes, needs_model, next_cycle, num_members
from ray_al.driver.pool import read_table
from ray_al.driver.training import (
    TrainCallbacks,
    count_left_out,
    is_untrained,
    kept_evaluations,
    left_out_images,
    manifest_of,
    train_usable,
)
from ray_al.driver.validation_labels import masks_of
from ray_al.ledger import State
from ray_al.ledger.records import CycleTrained, Labelled, MemberTrained, SplitMetrics


@dataclass(frozen=True)
class Train(Action):
    """Train the model of a cycle, or another member of its ensemble if `member` is above 0."""

    leads_to_training = True
    extends_curve = True
    cycle: int
    member: int = 0

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Train the members of an ensemble one by one, and the evaluated model last."""
        cycle = next_cycle(state, config)
        if not needs_model(config, cycle) or cycle in state.trained:
            return None
        have = state.members.get(cycle, {})
        missing = [member for member in range(1, num_members(config, cycle)) if member not in have]
        return cls(cycle, missing[0] if missing else 0)

    def perform(self, context: Context) -> CycleTrained | MemberTrained:
        """Train by the plan of the cycle.

        Raises:
            RayALError: nothing is labelled that could be trained on, or the training failed.
        """
        cycle, state = self.cycle, context.state
        if not is_untrained(context, cycle) and not state.label_parts:
            raise RayALError(
                f"cycle {cycle}: not one label of the start set could be used; see the refused "
                "ones with `ray-al status`"
            )
        result = train_usable(
            context,
            lambda: _plan(context, cycle, self.member),
            TrainCallbacks(
                progress=lambda done, total: context.note("train", done, total),
                should_stop=context.should_stop,
                waiting=lambda text: context.note("train", 0, 0, text),
            ),
        )
        if self.member:
            return MemberTrained(
                cycle=cycle,
                member=self.member,
                files=result.files,
                num_steps=result.num_steps,
                train_seconds=result.train_seconds,
            )
        return CycleTrained(
            cycle=cycle,
            files=result.files,
            num_steps=result.num_steps,
            train_seconds=result.train_seconds,
            metrics={split: SplitMetrics.of(metrics) for split, metrics in result.metrics.items()},
            labelled=_labelled(context, state),
            left_out=count_left_out(context),
            class_pixels=tuple(result.class_pixels),
            losses=tuple((step, loss) for step, loss in result.losses),
            num_images=result.num_images,
            evaluate_seconds=result.evaluate_seconds,
            kept_step=result.kept_step,
            evaluations=kept_evaluations(result),
        )

    def after(self, context: Context) -> None:
        """Remove the checkpoints that no later cycle needs."""
        if not self.member:
            drop_old_checkpoints(context, self.cycle)


def _labelled(context: Context, state: State) -> Labelled:
    """Count what is labelled.

    Args:
        state: before the training, in which images may have turned out broken.
    """
    return Labelled(
        regions=state.labelled_regions,
        pixels=state.labelled_pixels,
        images=int(context.pool.labelled_images.sum()),
        clicks=state.labelled_clicks,
        visits=state.visits,
        cost=state.spent,
    )


def _plan(context: Context, cycle: int, member: int) -> TrainPlan:
    state, settings = context.state, context.config.train
    previous = _previous_files(context, cycle, member) if settings.policy != "reset" else {}
    folder = CycleDir(cycle).training(member)
    passes = context.config.strategy_at(cycle).passes
    trained_before = bool(previous) and not is_untrained(context, cycle - 1)
    snapshots = passes.num_snapshots if compares_passes(context.config, cycle) else 0
    return TrainPlan(
        cycle=cycle,
        attempt=state.attempt,
        seed=seed_of("member", context.config.seed, member) if member else context.config.seed,
        label_parts=state.label_parts,
        left_out=left_out_images(context),
        output=folder.checkpoint,
        partial_checkpoint=folder.partial_checkpoint,
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
        manifest=manifest_of(state),
        validation=masks_of(state),
    )


def _sieve(context: Context, cycle: int) -> FileRef | None:
    """Return the model of the previous cycle if dominant labels are sieved."""
    known = context.state.trained.get(cycle - 1)
    if not context.config.label.sieves or known is None or is_untrained(context, cycle - 1):
        return None
    return known.model


def _previous_files(context: Context, cycle: int, member: int) -> Mapping[str, FileRef]:
    state = context.state
    if member:
        before = state.members.get(cycle - 1, {}).get(member)
        return before.files if before else {}
    known = state.trained.get(cycle - 1)
    return known.files if known else {}


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
                if name not in KEPT_FILES:
                    context.storage.remove(ref.path)


def _files_of(state: State, cycle: int) -> list[Mapping[str, FileRef]]:
    """Return the checkpoints of a cycle: its model's, and those of its ensemble."""
    model = state.trained.get(cycle)
    members = [member.files for member in state.members_of(cycle)]
    return [model.files, *members] if model else members

"""Fold events into the state of a run. The state never comes from anywhere else."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.types import FileRef, Refusal
from ray_al.ledger import records, validation
from ray_al.ledger.events import Event
from ray_al.ledger.extended import (
    changes_recipe,
    complete_repeats,
    extended,
    without_label,
)
from ray_al.ledger.state import Query, State


def fold(events: Iterable[Event], state: State | None = None) -> State:
    """Apply `events` in order.

    Args:
        state: the state before the first of them; None for the state before any event.

    Raises:
        StorageError: an event does not fit the events before it.
    """
    state = state or State()
    for event in events:
        try:
            changed = apply(event.record, state)
        except (LookupError, ValueError) as error:
            raise StorageError(
                f"journal event {event.sequence} ({event.kind}): does not fit the events before it "
                f"({type(error).__name__}: {error}); restore the journal from a copy"
            ) from error
        state = replace(changed, updated_at=event.time)
    return state


@functools.singledispatch
def apply(record: records.Record, state: State) -> State:
    """Return the state after the event with this record; one function for each kind follows.

    Raises:
        LookupError: the record is about something that no earlier event mentions.
        ValueError: the record contradicts an earlier event.
    """
    raise NotImplementedError(record.kind)


@apply.register
def _run_created(record: records.RunCreated, state: State) -> State:
    asked = record.unlabelled_validation
    labels = validation.ValidationLabels(num_images=asked.num_images) if asked else None
    return replace(state, created=record, validation=labels)


@apply.register
def _config_changed(record: records.ConfigChanged, state: State) -> State:
    """Take over new settings; a new final recipe restarts incomplete measurements."""
    repeats = complete_repeats(state) if changes_recipe(record.changes) else state.repeats
    created = replace(state.created, config=record.config, config_yaml=record.config_yaml)
    return replace(state, created=created, repeats=repeats)


@apply.register
def _run_extended(record: records.RunExtended, state: State) -> State:
    return extended(state, record)


@apply.register
def _driver_started(record: records.DriverStarted, state: State) -> State:
    return replace(state, attempt=record.term)


@apply.register
def _images_quarantined(record: records.ImagesQuarantined, state: State) -> State:
    broken = {image.image_id: image.error for image in record.images}
    restored = {name: attempt for name, attempt in state.restored.items() if name not in broken}
    return replace(state, quarantined={**state.quarantined, **broken}, restored=restored)


@apply.register
def _images_restored(record: records.ImagesRestored, state: State) -> State:
    back = dict.fromkeys(record.images, state.attempt)
    quarantined = {name: error for name, error in state.quarantined.items() if name not in back}
    return replace(state, quarantined=quarantined, restored={**state.restored, **back})


@apply.register
def _images_segmented(record: records.ImagesSegmented, state: State) -> State:
    return replace(state, map_parts={**state.map_parts, **_files(record.parts)})


@apply.register
def _regions_computed(record: records.RegionsComputed, state: State) -> State:
    """Take over the manifest with region counts, and the budget that is a share of them.

    The shares of an extended run stay those of the pool that it began with.
    """
    if state.extensions:
        created = replace(state.created, manifest=record.manifest)
        sizes = replace(state.sizes, num_regions=record.num_regions)
        return replace(state, created=created, maps=record, sizes_now=sizes, num_mapped=None)
    created = replace(
        state.created,
        manifest=record.manifest,
        num_regions=record.num_regions,
        amount=record.amount,
    )
    return replace(state, created=created, maps=record)


@apply.register
def _shards_embedded(record: records.ShardsEmbedded, state: State) -> State:
    names = {part.shard: part.name for part in record.parts}
    return replace(state, embedded_shards={**state.embedded_shards, **names})


@apply.register
def _pool_embedded(record: records.PoolEmbedded, state: State) -> State:
    return replace(state, embedded=record)


@apply.register
def _features_outdated(record: records.FeaturesOutdated, state: State) -> State:
    gone = set(record.shards)
    kept = {shard: name for shard, name in state.embedded_shards.items() if shard not in gone}
    return replace(state, embedded=None, embedded_shards=kept)


@apply.register
def _validation_requested(record: records.ValidationRequested, state: State) -> State:
    return replace(state, validation=validation.requested(state.validation, record))


@apply.register
def _validation_received(record: records.ValidationReceived, state: State) -> State:
    return replace(state, validation=validation.received(state.validation, record))


@apply.register
def _validation_closed(record: records.ValidationClosed, state: State) -> State:
    return replace(state, validation=validation.closed(state.validation, record))


@apply.register
def _query_selected(record: records.QuerySelected, state: State) -> State:
    query = Query(
        cycle=record.cycle,
        file=record.query,
        num_regions=record.num_regions,
        cost=record.cost,
        select_seconds=record.seconds,
    )
    return replace(state, queries=(*state.queries, query), reserved=state.reserved + query.cost)


@apply.register
def _labels_requested(record: records.LabelsRequested, state: State) -> State:
    refused = without_label(state.queries[-1], record.refused)
    state = _change_query(state, record.cycle, tasks=record.tasks, refused=refused)
    return replace(state, refused=(*state.refused, *record.refused))


@apply.register
def _labels_received(record: records.LabelsReceived, state: State) -> State:
    query = state.queries[-1]
    state = _change_query(
        state,
        record.cycle,
        answered=query.answered + record.num_regions,
        refused=without_label(query, record.refused) - set(record.corrected),
        received_cost=query.received_cost + record.cost,
        collected_in_attempt=record.term,
        label_seconds=query.label_seconds + record.seconds,
    )
    visits = None
    if state.visits is not None and record.num_images is not None:
        visits = state.visits + record.num_images
    return replace(
        state,
        label_parts=(*state.label_parts, record.part) if record.part else state.label_parts,
        labelled_regions=state.labelled_regions + record.num_regions,
        labelled_pixels=state.labelled_pixels + record.num_pixels,
        labelled_clicks=state.labelled_clicks + record.clicks,
        visits=visits,
        spent=state.spent + record.cost,
        reserved=state.reserved - record.cost,
        refused=_still_refused(state, record),
    )


def _still_refused(state: State, record: records.LabelsReceived) -> tuple[Refusal, ...]:
    """Return the last refusal of each region that has no label.

    Events of earlier versions do not name the regions that were corrected.
    """
    known = {refusal.name: refusal for refusal in (*state.refused, *record.refused)}
    corrected = set(record.corrected)
    return tuple(refusal for name, refusal in known.items() if name not in corrected)


@apply.register
def _cycle_filled(record: records.CycleFilled, state: State) -> State:
    return replace(state, filled=record.cycle)


@apply.register
def _query_closed(record: records.QueryClosed, state: State) -> State:
    state = _change_query(state, record.cycle, closed=True)
    return replace(state, reserved=state.reserved - record.refunded)


@apply.register
def _cycle_trained(record: records.CycleTrained, state: State) -> State:
    _check_classes(state, record.metrics)
    if state.validation is not None and state.validation.closed is None:
        raise ValueError("a model was trained before the validation images were labelled")
    if record.cycle >= 0 and record.val is None and state.created.has_validation:
        raise ValueError("metrics lacks ['val']")
    sizes_at = state.sizes_at
    if state.extensions:
        sizes_at = {**sizes_at, record.cycle: state.sizes}
    return replace(state, trained={**state.trained, record.cycle: record}, sizes_at=sizes_at)


@apply.register
def _member_trained(record: records.MemberTrained, state: State) -> State:
    cycle = record.cycle
    members = {**state.members.get(cycle, {}), record.member: record}
    return replace(state, members={**state.members, cycle: members})


@apply.register
def _model_measured(record: records.ModelMeasured, state: State) -> State:
    _check_classes(state, record.metrics)
    cycle = record.cycle
    if cycle not in state.trained:
        raise ValueError(f"cycle {cycle} is measured and was not trained")
    models = {**state.repeats.get(cycle, {}), record.repeat: record}
    return replace(state, repeats={**state.repeats, cycle: models})


@apply.register
def _models_measured(record: records.ModelsMeasured, state: State) -> State:
    known = [model.val.miou for model in state.repeats_of(record.cycle)]
    if list(record.mious) != known:
        raise ValueError(
            f"its mIoU are {list(record.mious)}, those of the models that were measured {known}"
        )
    return replace(state, measured={**state.measured, record.cycle: record})


def _check_classes(state: State, metrics: Mapping[str, records.SplitMetrics]) -> None:
    num_classes = len(state.created.class_names)
    if any(len(of_split.iou) != num_classes for of_split in metrics.values()):
        raise ValueError(f"its IoU are not those of {num_classes} classes")


@apply.register
def _images_picked(record: records.ImagesPicked, state: State) -> State:
    """Keep the choice of lazy scoring; images that break later do not change it."""
    return replace(state, picked={**state.picked, record.cycle: record.file})


@apply.register
def _shards_scored(record: records.ShardsScored, state: State) -> State:
    files = {**state.scores.get(record.cycle, {}), **_files(record.parts)}
    return replace(state, scores={**state.scores, record.cycle: files})


@apply.register
def _pool_scored(record: records.PoolScored, state: State) -> State:
    return replace(state, scored={**state.scored, record.cycle: record})


@apply.register
def _shards_extracted(record: records.ShardsExtracted, state: State) -> State:
    files = {**state.features.get(record.cycle, {}), **_files(record.parts)}
    return replace(state, features={**state.features, record.cycle: files})


@apply.register
def _features_extracted(record: records.FeaturesExtracted, state: State) -> State:
    return replace(state, extracted={**state.extracted, record.cycle: record})


@apply.register
def _run_finished(record: records.RunFinished, state: State) -> State:
    return replace(state, finished=record.reason)


def _files(parts: Sequence[records.ShardFile]) -> dict[int, FileRef | None]:
    return {part.shard: part.file for part in parts}


def _change_query(state: State, cycle: int, **changes: Any) -> State:
    """Return the state with `changes` to the last query, as `dataclasses.replace` takes them."""
    last = state.queries[-1]
    if last.cycle != cycle:
        raise ValueError(
            f"an event about the query of cycle {cycle} after the query of cycle {last.cycle}"
        )
    return replace(state, queries=(*state.queries[:-1], replace(last, **changes)))

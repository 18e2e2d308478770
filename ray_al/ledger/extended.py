"""Fold the event of an extended run into its state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ray_al.core.types import Refusal, RegionName
from ray_al.ledger.records import ModelMeasured, RunExtended
from ray_al.ledger.state import Query, State

NO_RECIPE = ("final.budgets", "final.repeats")
"""Keys that say which labels are measured, and by how many models, but not how these train."""


def extended(state: State, record: RunExtended) -> State:
    """Return the state of a run after it was extended.

    Raises:
        ValueError: the record contradicts the state.
    """
    _check(state, record)
    created = replace(
        state.created,
        config=record.config,
        config_yaml=record.config_yaml,
        manifest=record.manifest or state.created.manifest,
        images=record.images,
        amount=record.amount,
        class_names=record.class_names,
        colors=record.colors,
    )
    gone = {image.image_id: image.error for image in (*record.gone, *record.broken)}
    changed = replace(
        state,
        created=created,
        sizes_now=record.sizes,
        removed=(state.removed | set(record.removed)) - set(record.returned),
        quarantined={**state.quarantined, **gone},
        refused=(*state.refused, *record.refused),
        extensions=(*state.extensions, record),
        repeats=_repeats(state, record),
        **_open_query(state, record),
        **_open_cycle(state, record),
        **_end(state, record),
    )
    return _without_maps(changed, record) if record.num_added else changed


def _check(state: State, record: RunExtended) -> None:
    renamed = record.renamed_classes or {}
    earlier = tuple(renamed.get(name, name) for name in state.created.class_names)
    if (*earlier, *record.added_classes) != record.class_names:
        raise ValueError(f"its classes do not continue {list(state.created.class_names)}")
    if record.num_images != state.sizes.num_images + record.num_added:
        raise ValueError(f"its pool has {record.num_images} images, not those of before and after")


def _open_query(state: State, record: RunExtended) -> dict[str, Any]:
    """Return the query that no longer waits for images that left the pool."""
    if not record.refused:
        return {}
    last = state.queries[-1]
    query = replace(last, refused=without_label(last, record.refused))
    return {"queries": (*state.queries[:-1], query)}


def without_label(query: Query, refused: Iterable[Refusal]) -> frozenset[RegionName]:
    """Return the regions of a query that will have no label, after further refusals.

    A region may be refused more than once, and counts once.
    """
    return query.refused | {refusal.name for refusal in refused if refusal.final}


def _open_cycle(state: State, record: RunExtended) -> dict[str, Any]:
    """Return what is known of cycles without what must be done again.

    The pool is scored again if it or the classes changed before the next query was chosen.
    """
    if not (record.changes_pool or record.added_classes):
        return {}
    last = state.queries[-1].cycle if state.queries else None
    names = ("picked", "scores", "scored", "features", "extracted")
    known: dict[str, Mapping[int, Any]] = {name: getattr(state, name) for name in names}
    return {
        name: {
            cycle: value for cycle, value in values.items() if last is not None and cycle <= last
        }
        for name, values in known.items()
    }


def _repeats(state: State, record: RunExtended) -> Mapping[int, Mapping[int, ModelMeasured]]:
    """Return the measured models; those of an open cycle are trained again if need be."""
    is_other = record.added_classes or changes_recipe(record.changes)
    return complete_repeats(state) if is_other else state.repeats


def changes_recipe(changes: Mapping[str, object]) -> bool:
    """Return whether changed settings, by their dotted keys, are of how measured models train."""
    return any(key.startswith("final.") and key not in NO_RECIPE for key in changes)


def complete_repeats(state: State) -> Mapping[int, Mapping[int, ModelMeasured]]:
    """Return the measured models of the cycles of which all are measured."""
    return {cycle: models for cycle, models in state.repeats.items() if cycle in state.measured}


def _end(state: State, record: RunExtended) -> dict[str, Any]:
    """Return that the run goes on if there is more to spend, or more to choose from."""
    goes_on = record.amount > state.amount or record.num_added or record.returned
    return {"finished": None, "filled": None} if goes_on else {}


def _without_maps(state: State, record: RunExtended) -> State:
    """Return the state in which the region maps of added images are still to be made."""
    if state.maps is None:
        return state
    return replace(state, maps=None, num_mapped=record.num_images - record.num_added)

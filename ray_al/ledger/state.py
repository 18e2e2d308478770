"""State is only ever the fold of the events."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.types import FileRef
from ray_al.ledger.events import Event


@dataclass(frozen=True, kw_only=True)
class Query:
    """The regions chosen in `cycle` (-1: the start set), and what came of them."""

    cycle: int
    file: FileRef
    num_regions: int
    cost: int
    answered: int = 0
    refused: int = 0
    received_cost: int = 0
    tasks: str | None = None
    collected_in_term: int = 0
    closed: bool = False
    select_seconds: float = 0.0
    label_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class State:
    """What is known of a run. Costs are in the budget's unit.

    `visits`: images with a label of each delivery, summed over deliveries: how often somebody opened one; None where events of earlier versions
    do not tell. `repeats`: cycle -> repeat -> a model that was measured; `measured`: cycle -> what all of its repeats are together;
    `quarantined`: image_id -> what is wrong with it; `restored`: image_id -> the term in which it came back. `embedded_shards`: shard -> what
    the store of features calls it; `embedded`: the event that all of them are there, until some are outdated.
    """

    created: Mapping[str, Any] = field(default_factory=dict)
    term: int = 0
    queries: tuple[Query, ...] = ()
    label_parts: tuple[FileRef, ...] = ()
    labelled_regions: int = 0
    labelled_pixels: int = 0
    labelled_clicks: int = 0
    visits: int | None = 0
    spent: int = 0
    reserved: int = 0
    maps: Mapping[str, Any] | None = None
    map_parts: Mapping[int, FileRef | None] = field(default_factory=dict)
    embedded_shards: Mapping[int, str] = field(default_factory=dict)
    embedded: Mapping[str, Any] | None = None
    trained: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    members: Mapping[int, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)
    repeats: Mapping[int, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)
    measured: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    picked: Mapping[int, FileRef] = field(default_factory=dict)
    scores: Mapping[int, Mapping[int, FileRef | None]] = field(default_factory=dict)
    scored: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    features: Mapping[int, Mapping[int, FileRef | None]] = field(default_factory=dict)
    extracted: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    restored: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[Mapping[str, Any], ...] = ()
    filled: int | None = None
    finished: str | None = None
    updated_at: str = ""

    @property
    def amount(self) -> int:
        return int(self.created["amount"])

    @property
    def remaining(self) -> int:
        """What may still be reserved."""
        return self.amount - self.spent - self.reserved

    @property
    def unlabelled_classes(self) -> list[str]:
        """Names of the classes of which the last training had no label; empty before the first."""
        last = self.trained.get(
            max((cycle for cycle in self.trained if cycle >= 0), default=-2), {}
        )
        pixels = last.get("class_pixels") or ()
        return [
            name
            for name, count in zip(self.created["class_names"], pixels, strict=False)
            if not count
        ]

    @property
    def cycle(self) -> int:
        """The cycle that the run is in."""
        return max(0, self.queries[-1].cycle + 1) if self.queries else 0


def fold(events: Iterable[Event], state: State | None = None) -> State:
    """Apply `events` in order.

    Raises:
        StorageError: an event does not fit what came before it.
    """
    state = state or State()
    for event in events:
        try:
            changed = _APPLY[event.kind](state, event.data)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(
                f"journal event {event.sequence} ({event.kind}): does not fit the events before it ({type(error).__name__}: {error}); "
                "restore the journal from a copy"
            ) from error
        state = replace(changed, updated_at=event.time)
    return state


def _created(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, created=data)


def _config_changed(state: State, data: Mapping[str, Any]) -> State:
    """The new configuration; what a run is made of stays as it was created. By another recipe, models that are being measured begin anew."""
    repeats = state.repeats
    if any(key.startswith("final.") and key != "final.budgets" for key in data["changes"]):
        repeats = {cycle: models for cycle, models in repeats.items() if cycle in state.measured}
    created = {**state.created, "config": data["config"], "config_yaml": data["config_yaml"]}
    return replace(state, created=created, repeats=repeats)


def _driver_started(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, term=int(data["term"]))


def _quarantined(state: State, data: Mapping[str, Any]) -> State:
    broken = {image["image_id"]: image["error"] for image in data["images"]}
    restored = {
        image_id: term for image_id, term in state.restored.items() if image_id not in broken
    }
    return replace(state, quarantined={**state.quarantined, **broken}, restored=restored)


def _restored(state: State, data: Mapping[str, Any]) -> State:
    back = dict.fromkeys(data["images"], state.term)
    quarantined = {
        image_id: error for image_id, error in state.quarantined.items() if image_id not in back
    }
    return replace(state, quarantined=quarantined, restored={**state.restored, **back})


def _query_selected(state: State, data: Mapping[str, Any]) -> State:
    query = Query(
        cycle=data["cycle"],
        file=FileRef.from_dict(data["query"]),
        num_regions=data["num_regions"],
        cost=data["cost"],
        select_seconds=data["seconds"],
    )
    return replace(state, queries=(*state.queries, query), reserved=state.reserved + query.cost)


def _labels_requested(state: State, data: Mapping[str, Any]) -> State:
    refused = data.get("refused", ())  # images that turned out broken when their tasks were written
    state = _change_query(
        state, data["cycle"], tasks=data["tasks"], refused=state.queries[-1].refused + len(refused)
    )
    return replace(state, refused=(*state.refused, *refused))


def _labels_received(state: State, data: Mapping[str, Any]) -> State:
    query = state.queries[-1]
    state = _change_query(
        state,
        data["cycle"],
        answered=query.answered + data["num_regions"],
        refused=query.refused + sum(bool(refused["final"]) for refused in data["refused"]),
        received_cost=query.received_cost + data["cost"],
        collected_in_term=data["term"],
        label_seconds=query.label_seconds + data["seconds"],
    )
    parts = (FileRef.from_dict(data["part"]),) if data["part"] else ()
    return replace(
        state,
        label_parts=(*state.label_parts, *parts),
        labelled_regions=state.labelled_regions + data["num_regions"],
        labelled_pixels=state.labelled_pixels + data["num_pixels"],
        labelled_clicks=state.labelled_clicks + data.get("clicks", 0),
        visits=None
        if state.visits is None or "num_images" not in data
        else state.visits + data["num_images"],
        spent=state.spent + data["cost"],
        reserved=state.reserved - data["cost"],
        refused=_still_refused(state, data),
    )


def _still_refused(state: State, data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The last refusal of each region, until it has a label; events of earlier versions do not name what was corrected."""
    corrected = {(image_id, region) for image_id, region in data.get("corrected", ())}
    known = {(row["image_id"], row["region"]): row for row in (*state.refused, *data["refused"])}
    return tuple(row for name, row in known.items() if name not in corrected)


def _query_closed(state: State, data: Mapping[str, Any]) -> State:
    return replace(
        _change_query(state, data["cycle"], closed=True), reserved=state.reserved - data["refunded"]
    )


def _cycle_filled(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, filled=data["cycle"])


def _check_classes(state: State, data: Mapping[str, Any]) -> None:
    names = state.created.get("class_names", ())
    if any(len(metrics["iou"]) != len(names) for metrics in data["metrics"].values()):
        raise ValueError(f"its IoU are not those of {len(names)} classes")


def _model_measured(state: State, data: Mapping[str, Any]) -> State:
    _check_classes(state, data)
    cycle = data["cycle"]
    if cycle not in state.trained:
        raise ValueError(f"cycle {cycle} is measured and was not trained")
    return replace(
        state,
        repeats={**state.repeats, cycle: {**state.repeats.get(cycle, {}), data["repeat"]: data}},
    )


def _models_measured(state: State, data: Mapping[str, Any]) -> State:
    cycle = data["cycle"]
    known = [
        one["metrics"]["val"]["miou"] for _, one in sorted(state.repeats.get(cycle, {}).items())
    ]
    if data["mious"] != known:
        raise ValueError(
            f"its mIoU are {data['mious']}, those of the models that were measured {known}"
        )
    return replace(state, measured={**state.measured, cycle: data})


def _trained(state: State, data: Mapping[str, Any]) -> State:
    _check_classes(state, data)
    return replace(state, trained={**state.trained, data["cycle"]: data})


def _member_trained(state: State, data: Mapping[str, Any]) -> State:
    cycle = data["cycle"]
    return replace(
        state,
        members={**state.members, cycle: {**state.members.get(cycle, {}), data["member"]: data}},
    )


def _parts(data: Mapping[str, Any]) -> dict[int, FileRef | None]:
    return {
        part["shard"]: FileRef.from_dict(part["file"]) if part["file"] else None
        for part in data["parts"]
    }


def _images_segmented(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, map_parts={**state.map_parts, **_parts(data)})


def _regions_computed(state: State, data: Mapping[str, Any]) -> State:
    """From now on the manifest knows how many regions an image has, and the budget what it is a share of."""
    known = {key: data[key] for key in ("manifest", "num_regions", "amount")}
    return replace(state, created={**state.created, **known}, maps=data)


def _shards_embedded(state: State, data: Mapping[str, Any]) -> State:
    return replace(
        state,
        embedded_shards={
            **state.embedded_shards,
            **{part["shard"]: part["name"] for part in data["parts"]},
        },
    )


def _pool_embedded(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, embedded=data)


def _features_outdated(state: State, data: Mapping[str, Any]) -> State:
    gone = set(data["shards"])
    return replace(
        state,
        embedded=None,
        embedded_shards={
            shard: name for shard, name in state.embedded_shards.items() if shard not in gone
        },
    )


def _images_picked(state: State, data: Mapping[str, Any]) -> State:
    """What lazy scoring looks at in a cycle; images that break later change nothing of it."""
    return replace(state, picked={**state.picked, data["cycle"]: FileRef.from_dict(data["file"])})


def _shards_scored(state: State, data: Mapping[str, Any]) -> State:
    cycle = data["cycle"]
    return replace(
        state, scores={**state.scores, cycle: {**state.scores.get(cycle, {}), **_parts(data)}}
    )


def _shards_extracted(state: State, data: Mapping[str, Any]) -> State:
    cycle = data["cycle"]
    return replace(
        state, features={**state.features, cycle: {**state.features.get(cycle, {}), **_parts(data)}}
    )


def _features_extracted(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, extracted={**state.extracted, data["cycle"]: data})


def _pool_scored(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, scored={**state.scored, data["cycle"]: data})


def _finished(state: State, data: Mapping[str, Any]) -> State:
    return replace(state, finished=data["reason"])


def _change_query(state: State, cycle: int, **changes: Any) -> State:
    if state.queries[-1].cycle != cycle:
        raise ValueError(
            f"an event about the query of cycle {cycle} after the query of cycle {state.queries[-1].cycle}"
        )
    return replace(state, queries=(*state.queries[:-1], replace(state.queries[-1], **changes)))


_APPLY: Mapping[str, Callable[[State, Mapping[str, Any]], State]] = {
    "run_created": _created,
    "config_changed": _config_changed,
    "driver_started": _driver_started,
    "images_quarantined": _quarantined,
    "images_restored": _restored,
    "query_selected": _query_selected,
    "labels_requested": _labels_requested,
    "labels_received": _labels_received,
    "cycle_filled": _cycle_filled,
    "query_closed": _query_closed,
    "cycle_trained": _trained,
    "images_segmented": _images_segmented,
    "regions_computed": _regions_computed,
    "shards_embedded": _shards_embedded,
    "pool_embedded": _pool_embedded,
    "features_outdated": _features_outdated,
    "member_trained": _member_trained,
    "model_measured": _model_measured,
    "models_measured": _models_measured,
    "images_picked": _images_picked,
    "shards_scored": _shards_scored,
    "shards_extracted": _shards_extracted,
    "features_extracted": _features_extracted,
    "pool_scored": _pool_scored,
    "run_finished": _finished,
}

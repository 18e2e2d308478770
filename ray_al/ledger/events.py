"""Events are facts in the past tense. One table lists them with the keys that each must have."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.types import FileRef
from ray_al.ledger.values import problem

SCHEMA_VERSION = 1

EVENTS: Mapping[str, frozenset[str]] = {
    "run_created": frozenset(
        {"name", "manifest", "config", "num_images", "num_regions", "num_pixels", "unit", "amount"}
    ),
    "config_changed": frozenset({"config", "config_yaml", "changes"}),
    "driver_started": frozenset({"term", "host", "pid"}),
    "images_quarantined": frozenset({"images"}),
    "images_restored": frozenset({"images"}),
    "images_segmented": frozenset({"parts"}),
    "regions_computed": frozenset({"manifest", "num_regions", "amount", "seconds"}),
    "shards_embedded": frozenset({"parts"}),
    "pool_embedded": frozenset({"num_images", "views", "num_bytes", "seconds"}),
    "features_outdated": frozenset({"shards"}),
    "query_selected": frozenset({"cycle", "query", "num_regions", "num_pixels", "cost", "seconds"}),
    "labels_requested": frozenset({"cycle", "tasks", "num_tasks"}),
    "labels_received": frozenset(
        {"cycle", "part", "num_regions", "num_pixels", "cost", "refused", "seconds", "term"}
    ),
    "cycle_filled": frozenset({"cycle"}),
    "query_closed": frozenset({"cycle", "num_unanswered", "refunded"}),
    "cycle_trained": frozenset(
        {
            "cycle",
            "files",
            "metrics",
            "labelled",
            "class_pixels",
            "num_steps",
            "num_images",
            "train_seconds",
            "evaluate_seconds",
        }
    ),
    "member_trained": frozenset({"cycle", "member", "files", "num_steps", "train_seconds"}),
    "model_measured": frozenset(
        {
            "cycle",
            "repeat",
            "metrics",
            "num_steps",
            "num_images",
            "train_seconds",
            "evaluate_seconds",
        }
    ),
    "models_measured": frozenset({"cycle", "budget", "mious", "miou", "spread", "seconds"}),
    "images_picked": frozenset({"cycle", "file", "num_picked", "num_check"}),
    "shards_scored": frozenset({"cycle", "parts"}),
    "pool_scored": frozenset({"cycle", "num_images", "seconds"}),
    "shards_extracted": frozenset({"cycle", "parts"}),
    "features_extracted": frozenset({"cycle", "num_regions", "seconds"}),
    "run_finished": frozenset({"reason"}),
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact of a run.

    Attributes:
        time: UTC, ISO 8601.
        writer: a random name of who appended it, so that no two appends have the same bytes; empty in journals of before.
    """

    sequence: int
    kind: str
    time: str
    data: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION
    writer: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EVENTS:
            raise StorageError(
                f"journal event {self.sequence}: unknown kind {self.kind!r}; a newer ray_al wrote it, use that version"
            )
        missing = EVENTS[self.kind] - self.data.keys()
        if missing:
            raise StorageError(
                f"journal event {self.sequence} ({self.kind}): keys {sorted(missing)} are missing"
            )
        if wrong := problem(self.kind, self.data):
            raise StorageError(
                f"journal event {self.sequence} ({self.kind}): {wrong}; restore the file from a copy"
            )

    def to_bytes(self) -> bytes:
        values = {
            "sequence": self.sequence,
            "kind": self.kind,
            "time": self.time,
            "schema_version": self.schema_version,
            **({"writer": self.writer} if self.writer else {}),
            "data": dict(self.data),
        }
        return json.dumps(values, indent=1, allow_nan=False).encode()

    @staticmethod
    def from_bytes(data: bytes, *, source: str) -> "Event":
        try:
            values = json.loads(data)
            if not isinstance(values["data"], dict):
                raise TypeError(f"data is {type(values['data']).__name__}")
            if not isinstance(values["sequence"], int) or not isinstance(values["time"], str):
                raise TypeError(f"sequence is {values['sequence']!r}, time {values['time']!r}")
            return Event(
                sequence=values["sequence"],
                kind=values["kind"],
                time=values["time"],
                data=values["data"],
                schema_version=values["schema_version"],
                writer=values.get("writer", ""),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StorageError(
                f"{source}: not a journal event ({error}); restore the file from a copy"
            ) from None


def file_refs(value: Any) -> Iterator[FileRef]:
    """Every file that the data of an event names."""
    if isinstance(value, dict):
        if value.keys() >= {"path", "size", "sha256"}:
            yield FileRef.from_dict(value)
        else:
            for inner in value.values():
                yield from file_refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from file_refs(inner)


def is_superseded(event: Event, events: Iterable[Event]) -> bool:
    """Whether the event names a checkpoint that may be gone, as one of a later cycle is there: old ones are dropped on purpose."""
    trained = event.kind in ("cycle_trained", "member_trained")
    return trained and any(
        other.kind == "cycle_trained" and other.sequence > event.sequence for other in events
    )

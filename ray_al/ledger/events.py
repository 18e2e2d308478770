"""Events: facts in the past tense, as the journal stores them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.types import FileRef
from ray_al.ledger.parse import Malformed, parse
from ray_al.ledger.records import RECORDS, CycleTrained, MemberTrained, Record

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact of a run.

    Attributes:
        time: UTC, ISO 8601.
        data: the JSON object that the journal stores.
        writer: a random name of the writer, so no two appends have the same bytes; empty in
            journals of earlier versions.
        record: the typed `data`.
    """

    sequence: int
    kind: str
    time: str
    data: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION
    writer: str = ""
    record: Record = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in RECORDS:
            raise StorageError(
                f"journal event {self.sequence}: unknown kind {self.kind!r}; a newer ray_al wrote "
                "it, use that version"
            )
        try:
            record = parse(RECORDS[self.kind], self.data)
        except Malformed as error:
            raise StorageError(
                f"journal event {self.sequence} ({self.kind}): {error}; restore the file from a "
                "copy"
            ) from None
        object.__setattr__(self, "record", record)

    def to_bytes(self) -> bytes:
        """Return the file that the journal stores."""
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
        """Read a file of the journal.

        Args:
            source: how messages name the file.

        Raises:
            StorageError: the file is not an event, or its data does not fit its kind.
        """
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


def file_refs(value: object) -> Iterator[FileRef]:
    """Yield every file that the data of an event names."""
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
    """Return whether the event names a checkpoint that a run may have removed.

    Runs remove old checkpoints on purpose once a later cycle is trained, except for the files that
    `KEPT_FILES` (core/run_dir.py) names.
    """
    return isinstance(event.record, CycleTrained | MemberTrained) and any(
        isinstance(other.record, CycleTrained) and other.sequence > event.sequence
        for other in events
    )

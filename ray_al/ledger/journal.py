"""The journal: one small file per event, which appears whole or not at all.

A file is created only if its number is free, so two drivers never write the same event.
"""

import datetime
import secrets

from ray_al.core.errors import RunHeldError, StorageError
from ray_al.core.making import Kind
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.ledger.events import Event
from ray_al.ledger.records import Record


class Journal:
    """Append-only events below `journal/` of a run directory.

    Attributes:
        events: all events so far, in order.
        writer: a random name of this object, which its events carry.
    """

    FIRST = RunDir.event(0)
    """The first event; a directory without it is not a run yet."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.writer = secrets.token_hex(8)
        self.events = self._read()

    def append(self, record: Record) -> Event:
        """Record a fact.

        The number alone names the file: if the kind were part of the name, two drivers could both
        find their name free.

        Raises:
            RunHeldError: another driver appended in the meantime; nothing was written.
            StorageError: a field has a value of another type; nothing was written.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        event = Event(
            sequence=len(self.events),
            kind=record.kind,
            time=now,
            data=record.payload(),
            writer=self.writer,
        )
        try:
            self.storage.create_own(RunDir.event(event.sequence), event.to_bytes())
        except FileExistsError:
            raise RunHeldError(
                f"{self.storage.root}: another driver appended event {event.sequence} of this run; "
                "that one continues, this one stops. Follow it with `ray-al status`"
            ) from None
        self.events.append(event)
        return event

    def _read(self) -> list[Event]:
        names = [
            name
            for name in self.storage.list(RunDir.JOURNAL)
            if name.endswith(".json") and not name.startswith(".")
        ]
        events = []
        for sequence, name in enumerate(names):
            source = self.storage.uri(f"{RunDir.JOURNAL}/{name}")
            event = Event.from_bytes(self.storage.read(f"{RunDir.JOURNAL}/{name}"), source=source)
            if event.sequence != sequence or not name.startswith(f"{sequence:08d}"):
                raise StorageError(
                    f"{source}: expected event {sequence}, found {event.sequence}; an event is "
                    "missing, restore it from a copy"
                )
            events.append(event)
        self._check_first(events)
        return events

    def _check_first(self, events: list[Event]) -> None:
        """Refuse events that do not begin with the only `run_created`."""
        wrong = next(
            (event for event in events if (event.kind == "run_created") != (event.sequence == 0)),
            None,
        )
        if wrong is not None:
            raise StorageError(
                f"{self.storage.uri(RunDir.JOURNAL)}: event {wrong.sequence} is {wrong.kind}, and "
                "a run begins with one run_created; this directory holds no run, or events of two; "
                "restore it from a copy, or delete it and run again"
            )


RUN = Kind(noun="run", last=Journal.FIRST, resume="ray-al resume")
"""A directory is a run once it has its first event."""

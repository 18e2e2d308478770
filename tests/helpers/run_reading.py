"""Read what a run recorded."""

from collections.abc import Mapping
from typing import Any

from ray_al.core.storage import Storage
from ray_al.driver.pool import read_table
from ray_al.ledger import Journal, State, fold


def state_of(run_dir: str) -> State:
    """Return the state that a run has recorded."""
    return fold(Journal(Storage(run_dir)).events)


def queries(run_dir: str) -> list[bytes]:
    """Return the files of all queries of a run."""
    return [Storage(run_dir).read(query.file.path) for query in state_of(run_dir).queries]


def labels_of(run_dir: str) -> list[dict[str, Any]]:
    """Return the rows of all label parts of a run."""
    storage, parts = Storage(run_dir), state_of(run_dir).label_parts
    return [row for ref in parts for row in read_table(storage, ref).to_pylist()]


def events_of(run: str, kind: str) -> list[Mapping[str, Any]]:
    """Return what the events of one kind hold."""
    return [event.data for event in Journal(Storage(run)).events if event.kind == kind]

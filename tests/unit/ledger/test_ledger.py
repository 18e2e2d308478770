import os
from types import SimpleNamespace

import pytest
from helpers.records import CREATED, record

from ray_al.core.errors import RunHeldError, StorageError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, Refusal
from ray_al.ledger import Event, Journal, Ledger, fold
from ray_al.ledger.records import QueryClosed, RunFinished

FILE = {"path": "f", "size": 1, "sha256": "0"}
REF = FileRef.of("cycles/0000/start.parquet", b"x").as_dict()


def selected(cycle: int, cost: int) -> dict:
    return {
        "cycle": cycle,
        "query": REF,
        "num_regions": cost,
        "num_pixels": cost * 100,
        "cost": cost,
        "seconds": 0.0,
    }


def received(cycle: int, cost: int, refused: list | None = None) -> dict:
    return {
        "cycle": cycle,
        "part": REF if cost else None,
        "num_regions": cost,
        "num_pixels": cost * 100,
        "cost": cost,
        "refused": refused or [],
        "seconds": 1.0,
        "term": 1,
    }


def test_events_come_back_in_order(tmp_path):
    journal = Journal(Storage(str(tmp_path)))
    journal.append(record("run_created", **CREATED))
    journal.append(record("query_selected", **selected(-1, 2)))
    again = Journal(Storage(str(tmp_path)))
    assert [event.kind for event in again.events] == ["run_created", "query_selected"]
    assert again.events == journal.events


def test_budget_is_reserved_spent_and_refunded(tmp_path):
    journal = Journal(Storage(str(tmp_path)))
    journal.append(record("run_created", **CREATED))
    journal.append(record("query_selected", **selected(-1, 3)))
    state = fold(journal.events)
    assert (state.spent, state.reserved, state.remaining) == (0, 3, 1)
    refused = {"image_id": "a", "region": 0, "reason": "broken", "final": True}
    state = fold([journal.append(record("labels_received", **received(-1, 2, [refused])))], state)
    assert (state.spent, state.reserved) == (2, 1)
    state = fold([journal.append(QueryClosed(cycle=-1, num_unanswered=1, refunded=1))], state)
    assert (state.spent, state.reserved, state.remaining) == (2, 0, 2)
    assert state.refused == (Refusal(**refused),)
    assert state.queries[-1].closed


def test_a_region_that_is_refused_again_or_labelled_after_all_counts_once(tmp_path):
    """Else the query would close before the others are answered, and their labels be lost."""
    journal = Journal(Storage(str(tmp_path)))
    journal.append(record("run_created", **CREATED))
    journal.append(record("query_selected", **selected(-1, 3)))
    refused = {"image_id": "a", "region": 0, "reason": "broken", "final": True}
    for _ in range(2):
        journal.append(record("labels_received", **received(-1, 0, [refused])))
    assert fold(journal.events).queries[-1].refused == {("a", 0)}
    labelled = {**received(-1, 1), "corrected": [["a", 0]]}
    journal.append(record("labels_received", **labelled))
    query = fold(journal.events).queries[-1]
    assert (query.answered, query.refused) == (1, frozenset())


def test_two_drivers_one_wins(tmp_path):
    first, second = Journal(Storage(str(tmp_path))), Journal(Storage(str(tmp_path)))
    first.append(record("run_created", **CREATED))
    with pytest.raises(RunHeldError, match="another driver"):
        second.append(RunFinished(reason="x"))
    assert [event.kind for event in Journal(Storage(str(tmp_path))).events] == ["run_created"]


def test_an_append_whose_answer_was_lost_is_ours(tmp_path, monkeypatch):
    """A store, or NFS, that did what it was told, lost the answer, and refuses the second try."""
    create = Storage.create

    def create_and_lose(storage, name, data):
        create(storage, name, data)
        raise FileExistsError(name)

    journal = Journal(Storage(str(tmp_path)))
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "create", create_and_lose)
        journal.append(record("run_created", **CREATED))
    assert journal.append(RunFinished(reason="x")).sequence == 1
    assert Journal(Storage(str(tmp_path))).events == journal.events


def test_an_equal_event_of_another_driver_is_not_ours(tmp_path, monkeypatch):
    """The same fact within the same millisecond: only the writer's name differs."""
    now = SimpleNamespace(isoformat=lambda timespec: "2026-01-01T00:00:00.000+00:00")
    stub = SimpleNamespace(UTC=None, datetime=SimpleNamespace(now=lambda zone: now))
    monkeypatch.setattr("ray_al.ledger.journal.datetime", stub)
    first, second = Journal(Storage(str(tmp_path))), Journal(Storage(str(tmp_path)))
    first.append(RunFinished(reason="x"))
    with pytest.raises(RunHeldError):
        second.append(RunFinished(reason="x"))


def test_events_of_before_have_no_writer(tmp_path):
    old = Event(sequence=0, kind="run_finished", time="t", data={"reason": "x"}).to_bytes()
    assert b"writer" not in old
    assert Event.from_bytes(old, source="here").to_bytes() == old


def test_a_temporary_file_of_a_killed_writer_is_ignored(tmp_path):
    journal = Journal(Storage(str(tmp_path)))
    journal.append(record("run_created", **CREATED))
    (tmp_path / "journal" / ".00000001.json.abc.tmp").write_text('{"half')
    assert len(Journal(Storage(str(tmp_path))).events) == 1
    assert journal.append(RunFinished(reason="x")).sequence == 1


def test_a_missing_event_is_named(tmp_path):
    journal = Journal(Storage(str(tmp_path)))
    for _ in range(3):
        journal.append(RunFinished(reason="x"))
    os.unlink(tmp_path / "journal" / "00000001.json")
    with pytest.raises(StorageError, match="expected event 1"):
        Journal(Storage(str(tmp_path)))


def test_keys_of_an_event_are_checked(tmp_path):
    with pytest.raises(StorageError, match="reason"):
        Journal(Storage(str(tmp_path))).append(RunFinished(reason=7))
    assert Storage(str(tmp_path)).list("journal") == []


def test_journal_on_an_object_store():
    storage = Storage("memory://ledger-test")
    Journal(storage).append(record("run_created", **CREATED))
    late = Journal(storage)
    Journal(storage).append(RunFinished(reason="a"))
    with pytest.raises(RunHeldError):
        late.append(RunFinished(reason="b"))
    storage.remove("journal")


def test_the_ledger_holds_the_state_after_each_event_that_it_appends(tmp_path):
    journal = Journal(Storage(str(tmp_path)))
    journal.append(record("run_created", **CREATED))
    ledger = Ledger.of(journal)
    ledger.append(record("query_selected", **selected(-1, 2)))
    assert ledger.state == fold(Journal(Storage(str(tmp_path))).events)
    Journal(Storage(str(tmp_path))).append(RunFinished(reason="of another driver"))
    before = ledger.state
    with pytest.raises(RunHeldError, match="another driver appended event 2"):
        ledger.append(RunFinished(reason="ours"))
    assert ledger.state is before

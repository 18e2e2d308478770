"""What stores answer beside "yes": s3fs against a server in memory."""

import pytest
from helpers.records import record
from helpers.servers import FakeStore, lead_to, running, times

from ray_al.core.errors import StorageError, StoreUnavailableError
from ray_al.core.reading import read_uri
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger import Journal
from ray_al.ledger.records import RunFinished

RUN = "s3://bucket/runs/a"
REF = FileRef.of("config.yaml", b"x").as_dict()
CREATED = {
    "name": "t",
    "manifest": REF,
    "config": REF,
    "num_images": 2,
    "num_regions": 8,
    "num_pixels": 800,
    "unit": "regions",
    "amount": 4,
    "class_names": ["a"],
    "colors": [[0, 0, 0]],
}


def test_a_refusal_that_does_not_name_the_condition_is_a_refusal(fake):
    storage = Storage(RUN)
    storage.create("x", b"1")
    with pytest.raises(FileExistsError):
        storage.create("x", b"2")
    assert storage.read("x") == b"1"


def test_a_conflict_of_two_writers_is_tried_again(fake):
    fake.fault = times("409", "PUT", "/x", 2)
    Storage(RUN).create("x", b"1")
    assert fake.objects["bucket/runs/a/x"] == b"1"


def test_a_conflict_that_lasts_is_an_error_in_one_line(fake, monkeypatch):
    monkeypatch.setattr("ray_al.core.storage.CONFLICT_WAITS_S", (0.01,))
    fake.fault = times("409", "PUT", "/x", 100)
    with pytest.raises(StorageError, match="a/x: .*409"):
        Storage(RUN).create("x", b"1")


@pytest.mark.parametrize("fault", ["apply 500", "apply close"])
def test_an_event_whose_answer_was_lost_is_ours(fake, fault):
    journal = Journal(Storage(RUN))
    fake.fault = times(fault, "PUT", "00000000.json")
    journal.append(record("run_created", **CREATED))
    assert [request for request in fake.requests if request.startswith("PUT")] == [
        "PUT /bucket/runs/a/journal/00000000.json"
    ] * 2
    assert journal.append(RunFinished(reason="x")).sequence == 1
    assert len(Journal(Storage(RUN)).events) == 2


def test_bulk_data_whose_answer_was_lost_keeps_its_name(fake):
    fake.fault = times("apply 500", "PUT", "/part")
    assert Storage(RUN).put("a/part", b"one", attempt=3).path == "a/part"


def test_a_store_that_refuses_to_write_over_passes_the_probe(fake):
    Storage(RUN).probe()
    assert fake.objects == {}


def test_a_store_that_writes_over_is_refused_and_left_clean(monkeypatch):
    store = FakeStore(heeds=False)
    with running(store) as server:
        lead_to(server.url, monkeypatch)
        with pytest.raises(StorageError, match="s3://bucket/runs/a.*If-None-Match.*s3fs 2024.12"):
            Storage(RUN).probe()
        assert store.objects == {}


def test_a_client_that_leaves_the_condition_out_is_refused(fake, monkeypatch):
    """As s3fs did before 2024.12, without an error."""
    storage = Storage(RUN)
    pipe = storage.fs.pipe_file
    monkeypatch.setattr(
        storage.fs, "pipe_file", lambda path, data, mode="overwrite": pipe(path, data)
    )
    with pytest.raises(StorageError, match="wrote over"):
        storage.probe()
    assert fake.objects == {}


def test_a_store_that_forbids_says_so(fake):
    fake.fault = lambda method, path: "403"
    with pytest.raises(
        StorageError, match="s3://bucket/runs/a: the store refuses access.*AWS_ACCESS_KEY_ID"
    ):
        Storage(RUN).probe()


def test_a_store_that_is_too_busy_may_answer_later(fake, monkeypatch):
    fake.fault = lambda method, path: "500"
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreUnavailableError, match="s3://bucket/runs/a/x: the store answers 500"):
        Storage(RUN).list("x")


def test_names_are_taken_as_they_are(fake):
    """`[1]` is no pattern: what matches it is another run's."""
    odd, other = Storage("s3://bucket/runs/exp[1]*"), Storage("s3://bucket/runs/exp1")
    for storage in (odd, other):
        storage.create("cycles/a::b?c", b"1")
    assert odd.exists("cycles/a::b?c")
    assert read_uri("s3://bucket/runs/exp[1]*/cycles/a::b?c") == b"1"
    odd.remove("cycles")
    assert sorted(fake.objects) == ["bucket/runs/exp1/cycles/a::b?c"]

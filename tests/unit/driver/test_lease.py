"""At most one living process holds a run, whatever happens to its storage and to the clock."""

import json
import re
import threading
import time

import psutil
import pytest

from ray_al.core.errors import RunHeldError
from ray_al.core.process import is_running, start_ticks, this_process
from ray_al.core.storage import Storage
from ray_al.driver import lease as module
from ray_al.driver.lease import NAME, Lease


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


@pytest.fixture
def fast(monkeypatch):
    for name, seconds in (
        ("HEARTBEAT_S", 0.05),
        ("STALE_S", 2.0),
        ("GRACE_S", 0.2),
        ("LOOK_S", 0.1),
    ):
        monkeypatch.setattr(module, name, seconds)


def beats(storage):
    return json.loads(storage.read(NAME))["beats"]


def wait_for_beat(storage, after):
    deadline = time.monotonic() + 10
    while beats(storage) <= after:
        assert time.monotonic() < deadline, "the heartbeat has ended"
        time.sleep(0.02)


def from_elsewhere(storage, **changes):
    """The lease as a driver of another machine would have written it."""
    storage.replace(
        NAME,
        json.dumps(
            {**this_process(), "host": "another", "token": "other", "beats": 0, **changes}
        ).encode(),
    )


def test_the_heartbeat_outlives_writes_that_fail(storage, fast, monkeypatch):
    real, failures = storage.replace, [OSError(28, "No space left on device"), RuntimeError("500")]

    def replace(name, data):
        if failures:
            raise failures.pop()
        real(name, data)

    monkeypatch.setattr(storage, "replace", replace)
    with Lease(storage).acquire():
        wait_for_beat(storage, after=2)
    assert failures == []
    assert not storage.exists(NAME)


def test_a_step_of_the_clock_makes_nobody_dead(storage, monkeypatch, tmp_path, fast):
    before = start_ticks(1)
    with Lease(storage).acquire():
        monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: 1.0)
        monkeypatch.setattr(time, "time", lambda: 1e9)
        assert is_running(this_process())
        with pytest.raises(RunHeldError, match=r"process \d+ on .* holds this run"):
            Lease(storage).acquire()
    assert start_ticks(1) == before


def test_a_driver_that_lost_its_run_leaves_the_new_holders_lease(storage, fast):
    lost = Lease(storage).acquire()
    from_elsewhere(storage)
    time.sleep(0.2)
    assert json.loads(storage.read(NAME))["token"] == "other"  # its heartbeat wrote nothing over it
    lost.release()
    assert json.loads(storage.read(NAME))["token"] == "other"


def test_a_lease_that_is_gone_or_damaged_is_written_again(storage, fast):
    with Lease(storage).acquire():
        for data in (b"", b"{", b"[]"):
            storage.replace(NAME, data)
            deadline = time.monotonic() + 10
            while not re.match(b"{.*beats", storage.read(NAME)):
                assert time.monotonic() < deadline
                time.sleep(0.02)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b'{"host": 5, "pid": "x"}'])
def test_a_damaged_lease_that_nobody_renews_is_taken_over(storage, fast, monkeypatch, data):
    monkeypatch.setattr(module, "STALE_S", 0.0)
    storage.replace(NAME, data)
    with Lease(storage).acquire():
        assert json.loads(storage.read(NAME))["pid"] == this_process()["pid"]


@pytest.mark.parametrize(
    "change", [{"host": "another"}, {"machine": "the same host name, another machine or container"}]
)
def test_the_holder_on_another_machine_is_known_by_its_heartbeat(
    storage, fast, monkeypatch, change
):
    dead = {"pid": 1, "ticks": 1.0}
    from_elsewhere(storage, **{"host": this_process()["host"], **change}, **dead)
    taken = threading.Thread(
        target=lambda: (time.sleep(0.3), from_elsewhere(storage, **change, beats=1))
    )
    taken.start()
    with pytest.raises(RunHeldError):
        Lease(storage).acquire()
    taken.join()
    monkeypatch.setattr(module, "STALE_S", 0.0)
    Lease(storage).acquire().release()


def test_a_process_that_ended_holds_nothing(storage, fast):
    from_elsewhere(storage, host=this_process()["host"], ticks=1.0)
    start = time.monotonic()
    with Lease(storage).acquire():
        assert time.monotonic() - start < 5
        with pytest.raises(RunHeldError):
            Lease(storage).acquire()


def test_of_many_that_take_it_at_once_one_gets_it(storage, fast):
    held, refused = [], []

    def take():
        try:
            held.append(Lease(Storage(storage.root)).acquire())
        except RunHeldError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 11)
    held[0].release()


def test_whoever_is_patient_gets_it_after_the_holder(storage, fast):
    first = Lease(storage, "x.json", held="writes").acquire()
    with pytest.raises(RunHeldError, match="writes"):
        Lease(storage, "x.json", held="writes").acquire()
    threading.Timer(0.3, first.release).start()
    with Lease(storage, "x.json").acquire(patience_s=10):
        pass
    assert not storage.exists("x.json")


def test_a_lease_that_is_given_back_just_then_is_free(storage, fast, monkeypatch):
    """It is given back before the look at its holder; nobody waits for a heartbeat then."""
    create, others = storage.create, [b"{}"]

    def taken_once(name, data):
        if others:
            others.pop()
            raise FileExistsError(name)
        create(name, data)

    monkeypatch.setattr(storage, "create", taken_once)
    monkeypatch.setattr(module, "STALE_S", 3600.0)
    with Lease(storage).acquire():
        assert json.loads(storage.read(NAME))["pid"] == this_process()["pid"]

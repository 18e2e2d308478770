"""Making a directory is exclusive, and a failure or an interruption leaves nothing behind."""

import json
import os
import re
import signal
import threading
from typing import Any

import pytest
from click.testing import CliRunner
from helpers.records import run_created

from ray_al.cli import main
from ray_al.core import making as making_module
from ray_al.core.errors import ConfigError
from ray_al.core.making import CLAIM, Kind, check_new, making
from ray_al.core.process import this_process
from ray_al.core.storage import Storage
from ray_al.driver.create import begin_run, default_run_uri
from ray_al.ledger import RUN, Journal

KIND = Kind(noun="thing", last="last", resume="ray-al go-on")


@pytest.fixture(params=["disk", "memory"])
def storage(request, tmp_path):
    storage = Storage(str(tmp_path / "new") if request.param == "disk" else "memory://making-test")
    yield storage
    for name in ("first", "last", CLAIM):
        storage.remove(name)


def fill(storage, content=b"1"):
    with making(storage, "new", KIND):
        storage.create("first", content)
        storage.create("last", content)


def test_the_second_is_refused_and_touches_nothing(storage):
    check_new(storage, "new", KIND)  # as the second did, before the first began
    fill(storage)
    with pytest.raises(
        ConfigError,
        match="another process has made a thing there in the meantime.*ray-al status new",
    ):
        fill(storage, b"2")
    assert storage.list("") == ["first", "last"]
    assert storage.read("first") == b"1"
    with pytest.raises(ConfigError, match="exists already.*ray-al go-on new"):
        check_new(storage, "new", KIND)


def test_while_one_makes_it_the_other_is_told_so_and_never_to_delete_it(storage):
    with making(storage, "new", KIND):
        storage.create("first", b"1")
        for refused in (lambda: fill(storage), lambda: check_new(storage, "new", KIND)):
            with pytest.raises(
                ConfigError,
                match=f"process {os.getpid()} on .* is making a thing there at this moment.$",
            ):
                refused()
        storage.create("last", b"1")
    assert storage.list("") == ["first", "last"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_is_cut_short_leaves_nothing(tmp_path, error):
    storage = Storage(str(tmp_path / "new"))
    with pytest.raises(type(error)), making(storage, "new", KIND):
        storage.create("folder/first", b"1")
        raise error
    assert os.listdir(tmp_path) == []
    fill(storage)


def test_a_directory_whose_claim_is_still_being_written_is_nobodys_rest(tmp_path):
    storage = Storage(str(tmp_path))
    (tmp_path / f".{CLAIM}.0a.tmp").write_bytes(b"{")
    threading.Timer(0.2, storage.create, (CLAIM, json.dumps(this_process()).encode())).start()
    with pytest.raises(ConfigError, match="is making a thing there at this moment"):
        check_new(storage, "new", KIND)


def test_a_failure_after_the_last_file_keeps_what_was_made(tmp_path):
    storage = Storage(str(tmp_path / "new"))
    with pytest.raises(KeyboardInterrupt), making(storage, "new", KIND):
        storage.create("last", b"1")
        raise KeyboardInterrupt
    assert storage.list("") == ["last"]


def test_the_rest_of_a_killed_maker_is_named_as_such(storage):
    dead = {**this_process(), "ticks": 1.0}
    storage.create(CLAIM, json.dumps(dead).encode())
    with pytest.raises(
        ConfigError,
        match=(
            "it is the rest of a thing that was ended while it was made.*: delete it and "
            "start again"
        ),
    ):
        check_new(storage, "new", KIND)
    storage.replace(CLAIM, json.dumps({**dead, "machine": "another"}).encode())
    with pytest.raises(
        ConfigError, match="has begun to make a thing there; once that process has ended"
    ):
        check_new(storage, "new", KIND)
    storage.replace(CLAIM, b"{")
    with pytest.raises(ConfigError, match="if it is the rest of a thing .* delete it"):
        check_new(storage, "new", KIND)


def test_of_twenty_threads_one_makes_the_run(tmp_path):
    storage, won, lost = Storage(str(tmp_path / "run")), [], []

    def begin(number):
        try:
            begin_run(
                storage,
                "run",
                {"config.yaml": b"%d" % number, "manifest.parquet": b"%d" % number},
                run_created(name=str(number)),
            )
            won.append(number)
        except ConfigError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 19)
    assert not any("delete" in message for message in lost)
    assert storage.list("") == ["config.yaml", "journal", "manifest.parquet"]
    assert storage.read("config.yaml") == storage.read("manifest.parquet") == b"%d" % won[0]
    (event,) = Journal(storage).events
    assert event.data["name"] == str(won[0])


def begin_and_die(out, steps):
    """Make a run in a process that is killed at its `steps`-th call that changes a file."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left = [steps]

    def counted(real):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in ("fsync", "link", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    begin_run(Storage(out), out, {"config.yaml": b"1", "manifest.parquet": b"1"}, run_created())
    os._exit(0)


def test_a_run_killed_at_any_moment_while_it_is_made_is_a_run_or_can_be_deleted_as_told(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(making_module, "SETTLE_S", 0.0)
    exit_code = -signal.SIGKILL
    states: list[Any] = []
    while exit_code == -signal.SIGKILL:
        out = str(tmp_path / str(len(states)))
        exit_code = begin_and_die(out, len(states))
        with pytest.raises(ConfigError) as refused:
            check_new(Storage(out), out, RUN)
        states.append("run" if "ray-al resume" in str(refused.value) else "rest")
        assert ("delete it" in str(refused.value)) == (states[-1] == "rest")
        assert Storage(out).exists(Journal.FIRST) == (states[-1] == "run")
    assert exit_code == 0
    assert states == sorted(states)
    assert len(states) > 15


def test_default_names_of_one_second_are_not_the_same(monkeypatch):
    monkeypatch.setenv("RAY_AL_RUNS", "s3://bucket/runs")
    names = {default_run_uri("x") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("s3://bucket/runs/x-") for name in names)


@pytest.mark.parametrize(
    "command", ["resume", "status", "verify", "report", "log", "final", "replay"]
)
def test_commands_say_what_a_directory_without_a_first_event_is(tmp_path, command):
    storage = Storage(str(tmp_path / "run"))
    for claim, word in (
        (this_process(), "is making a run there at this moment"),
        (
            {**this_process(), "ticks": 1.0},
            "it is the rest of a run that was ended while it was made.*delete it and start again",
        ),
    ):
        storage.replace(CLAIM, json.dumps(claim).encode())
        done = CliRunner().invoke(main, [command, storage.root])
        assert done.exit_code == 2
        assert re.search(word, done.output), done.output
        assert "\n" not in done.output.strip()


class Vanishing(Storage):
    """Another process gives up its claim each time after the look whether it is there."""

    def exists(self, name=""):
        there = super().exists(name)
        if name == CLAIM:
            self.remove(CLAIM)
        return there

    def create(self, name, data):
        try:
            super().create(name, data)
        except FileExistsError:
            self.remove(name)
            raise


def test_a_claim_that_goes_at_any_moment_is_somebody_elses(tmp_path):
    storage = Vanishing(str(tmp_path / "new"))
    storage.replace(CLAIM, b"another's")
    with pytest.raises(ConfigError, match="exists already"), making(storage, "new", KIND):
        raise AssertionError("two are inside")
    assert storage.list("") == []

"""Whole runs on SeaweedFS, an S3 store that refuses to overwrite without naming the condition."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import pytest
from helpers import small_runs
from helpers.paths import python_path
from helpers.run_reading import queries
from helpers.servers import Proxy, lead_to, running, times
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, RunHeldError
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.doctor import diagnose
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.settings import change_settings
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold
from ray_al.ledger.records import RECORDS, DriverStarted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SETTINGS: dict[str, Any] = {
    **small_runs.SETTINGS,
    "model": {"name": "helpers.networks:tiny_with_dropout"},
}
BADGE: dict[str, Any] = {"acquisition": "entropy", "feature_layer": "2", "batch": {"kind": "badge"}}
CASES: dict[str, Any] = {
    "superpixels": {"regions": {"kind": "superpixels", "count": 30}, "strategy": BADGE},
    "ensemble": {
        "strategy": {"acquisition": "vote_entropy", "passes": {"kind": "ensemble", "count": 2}}
    },
    "lazy": {"strategy": {"acquisition": "entropy", "lazy": {"share": 0.4, "check": 0.5}}},
    "clicks": {"budget": {"unit": "clicks", "start": 120, "per_cycle": 60, "amount": 240}},
    "people": {
        "label": {"annotator": {"kind": "files", "share": 0.5}},
        "budget": {"start": 4, "per_cycle": 2, "amount": 6},
    },
    "broken": {"scoring": {"max_quarantined": 0.5}},
}
KILLED: dict[str, set[str]] = {name: set() for name in (*CASES, "mended")}
"""By case, the kinds of events before which a driver was killed."""


def has_scored(run: str) -> bool:
    """Say whether the pool of cycle 0 is scored."""
    return 0 in fold(Journal(Storage(run)).events).scored


def configure(folder, changes):
    return parse_config(small_runs.changed(SETTINGS, folder, changes), source="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_synthetic(str(folder / "data"), num_images=8, seed=0)
    return folder


def answer_all(run_dir, truth):
    """Answer every second task, which is half: the rest is then closed as unanswered."""
    storage = Storage(run_dir)
    tasks = fold(Journal(storage).events).queries[-1].tasks
    for task in json.loads(storage.read(f"{tasks}/tasks.json"))["tasks"][::2]:
        top, left, bottom, right = task["box"]
        mask = Image.open(truth / task["image_id"].split("/")[-1]).crop((left, top, right, bottom))
        mask.save(truth.parent / "answer.png")
        storage.replace(f"{tasks}/{task['answer']}", (truth.parent / "answer.png").read_bytes())


def carry_on(run_dir, truth, kill=lambda kind: False):
    """Run to the end with people who answer, and with SIGKILL between bulk files and event."""
    append, met = Journal.append, []

    def die(journal, record):
        if kill(record.kind):
            met.append(record.kind)
            raise KeyboardInterrupt
        return append(journal, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", die)
        while True:
            try:
                outcome = run_loop(run_dir)
            except KeyboardInterrupt:
                continue
            if outcome.kind == "finished":
                return met
            answer_all(run_dir, truth)


def first_of_each(killed):
    """Kills before the first event of each kind."""

    def kill(kind):
        if kind in killed:
            return False
        killed.add(kind)
        return True

    return kill


@pytest.mark.parametrize("name", CASES)
def test_a_driver_killed_between_bulk_file_and_event_is_resumed(folder, weed, name):
    changes = dict(CASES[name])
    data = folder / "data"
    if name == "broken":
        data = folder / "broken"
        shutil.copytree(folder / "data", data)
        for path in sorted((data / "train").glob("*.png"))[:2]:
            path.write_bytes(path.read_bytes()[:800])
        changes["data"] = {
            "dataset": "camvid",
            "root": str(data),
            "class_names": ["a", "b", "c", "d", "e", "f"],
        }
    config, truth = configure(folder, changes), data / "trainannot"
    whole = create_run(config, str(folder / f"{name}-whole"))
    carry_on(whole, truth)

    out, kill = f"s3://bucket/runs/{name}[1]", first_of_each(KILLED[name])
    append = Journal.append
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Journal,
            "append",
            lambda journal, record: append(journal, record) if not kill(record.kind) else _die(),
        )
        with pytest.raises(KeyboardInterrupt):
            create_run(config, out)
    Storage(out).remove("")
    create_run(config, out)
    carry_on(out, truth, kill)
    assert queries(out) == queries(whole)
    assert verify(out)["labelled_regions"] == verify(whole)["labelled_regions"]


def _die():
    raise KeyboardInterrupt


def test_a_driver_killed_before_images_come_back_or_settings_change_is_resumed(folder, weed):
    data = folder / "mended"
    shutil.copytree(folder / "data", data)
    broken = {path: path.read_bytes() for path in sorted((data / "train").glob("*.png"))[:2]}
    for path, content in broken.items():
        path.write_bytes(content[:800])
    places = {"dataset": "camvid", "root": str(data), "class_names": ["a", "b", "c", "d", "e", "f"]}
    config = configure(folder, {"data": places, "scoring": {"max_quarantined": 0.5}})
    runs = [
        create_run(config, out) for out in (str(folder / "mended-whole"), "s3://bucket/runs/mended")
    ]
    for run in runs:
        run_loop(run, should_stop=partial(has_scored, run))
    for path, content in broken.items():
        path.write_bytes(content)
    whole, out = runs
    change_settings(whole, ["scoring.max_quarantined=0.4"])
    run_loop(whole)

    append, first = Journal.append, first_of_each(KILLED["mended"])
    wanted = ("images_restored", "config_changed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Journal,
            "append",
            lambda journal, record: (
                _die() if record.kind in wanted and first(record.kind) else append(journal, record)
            ),
        )
        for session in (
            lambda: change_settings(out, ["scoring.max_quarantined=0.4"]),
            lambda: run_loop(out),
        ):
            with pytest.raises(KeyboardInterrupt):
                session()
            session()
    assert KILLED["mended"] == set(wanted)
    assert queries(out) == queries(whole)
    assert Storage(out).read("config.yaml").count(b"max_quarantined: 0.4") == 1
    verify(out)


def test_every_kind_of_event_was_killed_before():
    """Of the test above."""
    met = set().union(*KILLED.values())
    if not all(KILLED.values()):
        pytest.skip("not every case was run")
    assert met == set(RECORDS)


def test_of_two_drivers_one_goes_on_and_the_other_says_so(folder, weed):
    """Both hold the journal at the same event, as where a lease was taken over."""
    run_dir = create_run(configure(folder, {}), "s3://bucket/runs/two")
    late = Journal(Storage(run_dir))
    assert run_loop(run_dir).kind == "finished"
    with pytest.raises(RunHeldError, match="another driver appended event 1"):
        late.append(DriverStarted(term=1, host="h", pid=1))
    verify(run_dir)


def test_two_writers_at_once_have_one_winner(weed):
    storage, won, barrier = Storage("s3://bucket/race"), [], threading.Barrier(4)

    def write(number):
        for turn in range(10):
            barrier.wait()
            try:
                storage.create(f"{turn}", b"%d" % number)
                won.append(turn)
            except FileExistsError:
                pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(10))


def test_storms_of_503_are_weathered(folder, weed, monkeypatch):
    """A tenth of the writes and some reads are refused for a moment; all data are on the store."""
    for path in (folder / "data").rglob("*.png"):
        Storage("s3://bucket/data").replace(
            str(path.relative_to(folder / "data")), path.read_bytes()
        )
    changes = {
        "data": {
            "dataset": "camvid",
            "root": "s3://bucket/data",
            "class_names": ["a", "b", "c", "d", "e", "f"],
        }
    }
    local = {"data": {**changes["data"], "root": str(folder / "data")}}
    whole = create_run(configure(folder, local), str(folder / "whole"))
    run_loop(whole)
    counts = {"PUT": 0, "GET": 0}

    def storm(method, path):
        if method not in counts:
            return ""
        counts[method] += 1
        return "503" if counts[method] % {"PUT": 7, "GET": 23}[method] == 0 else ""

    with running(Proxy(weed.port)) as proxy:
        lead_to(proxy.url, monkeypatch)
        proxy.fault = storm
        run_dir = create_run(configure(folder, changes), "s3://bucket/runs/storm")
        assert run_loop(run_dir).kind == "finished"
        assert counts["PUT"] > 30
        assert queries(run_dir) == queries(whole)
    lead_to(weed.url, monkeypatch)
    verify("s3://bucket/runs/storm")


@pytest.mark.parametrize("fault", ["apply 500", "apply close"])
def test_a_run_whose_appends_lose_their_answers_goes_on(folder, weed, monkeypatch, fault):
    with running(Proxy(weed.port)) as proxy:
        lead_to(proxy.url, monkeypatch)
        proxy.fault = times(fault, "PUT", "0000000[3579]", 4)
        run_dir = create_run(configure(folder, {}), f"s3://bucket/runs/lost-{fault[6:]}")
        assert run_loop(run_dir).kind == "finished"
        assert fold(Journal(Storage(run_dir)).events).attempt == 1
    lead_to(weed.url, monkeypatch)
    verify(run_dir)


def test_an_object_is_not_removed_by_a_pattern(weed):
    odd, other = Storage("s3://bucket/odd/a[1]?*"), Storage("s3://bucket/odd/a1")
    for storage in (odd, other):
        storage.create("lease.json", b"1")
    odd.remove("lease.json")
    odd.remove("lease.json")
    assert odd.list("") == []
    assert other.list("") == ["lease.json"]


@pytest.mark.parametrize(
    ("place", "key", "secret", "url", "words"),
    [
        ("s3://bucket/runs/x", "testkey", "wrong", None, "refuses access"),
        ("s3://bucket/runs/x", "readkey", "readsecret", None, "refuses access"),
        ("s3://nobody/runs/x", "testkey", "testsecret", None, "no such bucket"),
        ("s3://bucket/runs/x", "testkey", "testsecret", "http://127.0.0.1:9", "cannot be reached"),
    ],
)
def test_what_is_wrong_with_a_store_is_said_before_anything_is_written(
    folder, weed, monkeypatch, place, key, secret, url, words
):
    lead_to(url or weed.url, monkeypatch, key=key, secret=secret)
    with pytest.raises(ConfigError, match=f"{place}: .*{words}"):
        create_run(configure(folder, {}), place)
    (row,) = [row for row in diagnose(place) if row.check == f"storage {place}"]
    assert not row.ok
    assert words in row.found
    lead_to(weed.url, monkeypatch)
    assert not Storage("s3://bucket/runs/x").exists()


def test_the_doctor_calls_the_store_good(weed):
    (row,) = [
        row for row in diagnose("s3://bucket/runs") if row.check == "storage s3://bucket/runs"
    ]
    assert row.ok, row


def test_a_command_that_is_killed_is_resumed(folder, weed):
    """SIGKILL at moments of its own choosing, as a user's machine dies."""
    whole = create_run(configure(folder, {}), str(folder / "signals-whole"))
    run_loop(whole)
    (folder / "c.yaml").write_text(json.dumps(json.loads(configure(folder, {}).model_dump_json())))
    env = {**os.environ, "PYTHONPATH": python_path()}
    out = "s3://bucket/runs/signals"

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "ray_al.cli", *arguments],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    process = start("run", str(folder / "c.yaml"), "--out", out)
    for events in (6, 12):
        deadline = time.monotonic() + 200
        while len(Storage(out).list("journal")) < events and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start("resume", out)
    assert process.wait(200) == 0
    assert queries(out) == queries(whole)
    verify(out)

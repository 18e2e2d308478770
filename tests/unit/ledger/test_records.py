"""Damaged records: conveniences are ignored, journal and settings end a command in one message."""

import copy
import json
import os
import random
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from helpers.records import record

from ray_al.cli import main
from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import ConfigError, RayALError, StorageError
from ray_al.core.storage import Storage
from ray_al.driver.create import begin_run
from ray_al.driver.decide import decide
from ray_al.driver.status import StatusFile, progress_line, read_live, read_status
from ray_al.driver.track import CurveLogger
from ray_al.ledger import Event, Journal, State, fold
from ray_al.ledger.config import config_facts, read_config
from ray_al.ledger.parse import parse
from ray_al.ledger.records import RunCreated
from ray_al.report.metrics import read_result
from ray_al.report.rows import curve_rows
from ray_al.sweep.directory import TrialOutcome, read_outcome, read_sweep
from ray_al.sweep.trials import Trial
from ray_al.train.state import seal, unseal

VALUES: dict[str, Any] = {
    "data": {"root": "scenes", "num_images": 1},
    "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    "cluster": {"host": "process"},
}
CONFIG = parse_config(VALUES, source="test")
FILE: dict[str, Any] = {"path": "a/b", "size": 1, "sha256": "0"}
METRICS: dict[str, Any] = {"miou": 0.5, "pixel_accuracy": 0.5, "iou": [0.5, None], "num_images": 1}
EVENTS: list[tuple[str, dict[str, Any]]] = [
    (
        "run_created",
        {
            "name": "t",
            "manifest": FILE,
            "config": FILE,
            "num_images": 2,
            "num_regions": 24,
            "num_pixels": 800,
            "unit": "regions",
            "amount": 12,
            "class_names": ["a", "b"],
            "colors": [[0, 0, 0], [1, 1, 1]],
            "pool": "0",
        },
    ),
    ("images_quarantined", {"images": [{"image_id": "x", "error": "broken"}]}),
    ("driver_started", {"term": 1, "host": "h", "pid": 1}),
    (
        "query_selected",
        {
            "cycle": -1,
            "query": FILE,
            "num_regions": 4,
            "num_pixels": 100,
            "cost": 4,
            "seconds": 0.5,
        },
    ),
    ("labels_requested", {"cycle": -1, "tasks": "t", "num_tasks": 4}),
    (
        "labels_received",
        {
            "cycle": -1,
            "part": FILE,
            "num_regions": 4,
            "num_pixels": 100,
            "cost": 4,
            "clicks": 4,
            "seconds": 1,
            "term": 1,
            "corrected": [["x", 1]],
            "refused": [{"image_id": "x", "region": 1, "reason": "no", "final": True}],
        },
    ),
    ("query_closed", {"cycle": -1, "num_unanswered": 0, "refunded": 0}),
    (
        "cycle_trained",
        {
            "cycle": 0,
            "files": {"model.pt": FILE},
            "metrics": {"val": METRICS},
            "labelled": {"regions": 4, "pixels": 9, "images": 1, "cost": 4},
            "class_pixels": [4, 5.5],
            "num_steps": 1,
            "num_images": 1,
            "train_seconds": 1.0,
            "evaluate_seconds": 1.0,
            "losses": [[0, 1.0]],
        },
    ),
    (
        "shards_scored",
        {"cycle": 0, "parts": [{"shard": 0, "file": FILE}, {"shard": 1, "file": None}]},
    ),
    ("pool_scored", {"cycle": 0, "num_images": 2, "seconds": 1.0, "recall": None}),
    (
        "query_selected",
        {"cycle": 0, "query": FILE, "num_regions": 4, "num_pixels": 100, "cost": 4, "seconds": 0.5},
    ),
]
OTHERS: tuple[Any, ...] = (None, "x", [], {}, [1], {"a": 1}, 1.5, -7, True)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time, otherwise
    monkeypatch.chdir(tmp_path)
    storage = Storage(str(tmp_path / "run"))
    monkeypatch.setattr(
        "ray_al.driver.status.labels_left_out", lambda storage, state: {}
    )  # there are no files of labels
    text = CONFIG.to_yaml()
    journal = begin_run(
        storage,
        "run",
        {"config.yaml": text.encode(), "manifest.parquet": b"x"},
        record("run_created", **{**EVENTS[0][1], **config_facts(text)}),
    )
    for kind, data in EVENTS[1:]:
        journal.append(record(kind, **data))
    return storage


def look(storage):
    """What commands read of a ledger."""
    state = fold(Journal(storage).events)
    read_status(storage)
    curve_rows(state)
    decide(state, CONFIG)


def leaves(value, path=()):
    yield path
    for key, inner in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from leaves(inner, (*path, key))


def changed(value, path, other):
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if other is leaves:
        del inner[path[-1]]
    else:
        inner[path[-1]] = other
    return value


def test_a_value_of_another_type_anywhere_in_the_ledger_is_one_clear_message(run):
    look(run)
    rng, found = random.Random(0), 0
    for number in range(len(EVENTS)):
        name = f"journal/{number:08d}.json"
        whole = json.loads(run.read(name))
        for path in list(leaves(whole))[1:]:
            for other in (leaves, *rng.sample(OTHERS, 2)):
                run.replace(name, json.dumps(changed(whole, path, other)).encode())
                try:
                    look(run)
                except RayALError as error:
                    found += 1
                    assert "event" in str(error), (path, other)
                    assert "\n" not in str(error)
        run.replace(name, json.dumps(whole).encode())
    assert found > 250


DAMAGE: dict[str, Any] = {
    "empty": b"",
    "zeros": b"\0" * 300,
    "half": b'{"sequence": 3, "kind": "quer',
    "a list": b"[]",
    "a number": b"3",
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("command", ["status", "verify", "resume", "report"])
def test_a_damaged_event_is_named_by_every_command(run, name, command):
    run.replace("journal/00000003.json", DAMAGE[name])
    done = CliRunner().invoke(main, [command, run.root])
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2)
    assert "journal/00000003.json: not a journal event" in done.output


@pytest.mark.parametrize("data", [None, [1], "x", 3])
def test_data_that_is_no_mapping_is_named(run, data):
    run.replace(
        "journal/00000003.json",
        json.dumps({**json.loads(run.read("journal/00000003.json")), "data": data}).encode(),
    )
    with pytest.raises(StorageError, match=r"00000003.json: not a journal event \(data is"):
        Journal(run)


def test_a_journal_of_two_runs_is_none(run):
    Journal(run).append(record("run_created", **EVENTS[0][1]))
    with pytest.raises(StorageError, match="event 11 is run_created, and a run begins with one"):
        Journal(run)


def test_a_damaged_ledger_is_refused_before_ray_is_started(run, monkeypatch):
    run.replace("config.yaml", CONFIG.to_yaml().replace("host: process", "host: actor").encode())
    run.replace("journal/00000003.json", b"")
    monkeypatch.setattr("ray_al.driver.host.connect", lambda config: pytest.fail("started"))
    assert CliRunner().invoke(main, ["resume", run.root]).exit_code == 1


def test_an_event_that_does_not_fit_those_before_is_named():
    event = Event(sequence=5, kind="labels_received", time="t", data=EVENTS[5][1])
    with pytest.raises(
        StorageError,
        match=r"journal event 5 \(labels_received\): does not fit the events before it",
    ):
        fold([event], State(created=parse(RunCreated, EVENTS[0][1])))


@pytest.mark.parametrize(
    "data", [b"", b"# nothing", b"a: [", b"[1]", b"\xff\xfe", b"\0", b"a: 2020-99-99", b"text"]
)
@pytest.mark.parametrize("command", ["verify", "resume", "final", "report"])
def test_damaged_settings_are_one_message(run, data, command):
    run.replace("config.yaml", data)
    done = CliRunner().invoke(main, [command, run.root])
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2)
    with pytest.raises(ConfigError, match="config.yaml: "):
        read_config(run)


BAD_NOTES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b"3",
    b"\xff",
    b'{"stage": 5, "total": "x"}',
    b'{"stage": "train", "cycle": null, "done": "a", "total": [], "seconds_left": {}}',
]


@pytest.mark.parametrize("data", BAD_NOTES)
def test_damaged_conveniences_are_passed_over(run, data):
    for name in (
        "status.json",
        "tracking.json",
        "final/metrics.json",
        "upper_bound/metrics.json",
        "outcomes/x.json",
    ):
        run.replace(name, data)
    assert CliRunner().invoke(main, ["status", run.root]).exit_code == 0
    assert progress_line(read_live(run)) == "starting"
    assert read_status(run)["stage"] == "created"
    assert CurveLogger(run, CONFIG).memory == {}
    assert read_result(run, "final") is None
    assert read_outcome(run, "x") == TrialOutcome()


@pytest.mark.parametrize(
    "kept", [{"mlflow": 3}, {"mlflow": {"told": "x"}}, {"mlflow": {"told": 1, "run_id": 4}}]
)
def test_what_a_service_was_told_is_believed_where_it_can_be(run, kept):
    run.replace("tracking.json", json.dumps({**kept, "wandb": {"told": 2}}).encode())
    assert CurveLogger(run, CONFIG).memory == {"wandb": {"told": 2}}


def test_a_status_that_cannot_be_written_ends_no_run(run, monkeypatch):
    def fail(name, data, *, synced):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "replace", fail)
    StatusFile(run).note(fold(Journal(run).events), "train")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a: [",
        b"[]",
        b"name: x",
        b"{name: 3, group: x, index: 1, seed: 0, setting: {}, config: {}}",
    ],
)
def test_damaged_plans_of_a_sweep_are_one_message(tmp_path, data):
    with pytest.raises(ConfigError, match="trials/x.yaml"):
        Trial.from_bytes(data, source="trials/x.yaml")
    data = data.replace(b"name: x", b"name: [")
    Storage(str(tmp_path)).replace("sweep.yaml", data)
    with pytest.raises(ConfigError, match="sweep.yaml"):
        read_sweep(Storage(str(tmp_path)))


def test_the_progress_of_a_training_is_believed_only_as_it_was_written():
    sealed = seal(b"weights")
    assert unseal(sealed) == b"weights"
    for damaged in (b"", sealed[:-1], sealed[:10], sealed[:-1] + b"x", b"weights"):
        assert unseal(damaged) is None


def test_the_settings_of_a_run_come_back(run):
    assert read_config(run) == RunConfig.model_validate(yaml.safe_load(CONFIG.to_yaml()))

"""Every tracker passes one suite, a user's own too; `test_tracking` reads the services back."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.trackers import TRACKERS, TrackedRun, Tracker
from ray_al.core.storage import Storage
from ray_al.driver.track import CurveLogger, check_tracking
from ray_al.ledger import State


class FileTracker(Tracker):
    """A user's own: a line a cycle in a file."""

    name: str = "curve.jsonl"

    def tell(
        self, run: TrackedRun, step: int, numbers: Mapping[str, float], memory: dict[str, Any]
    ) -> None:
        if step == memory.get("broken_at"):
            raise OSError("the disk is full")
        memory["lines"] = [*memory.get("lines", []), [step, numbers["miou"]]]
        run.storage.replace(self.name, json.dumps(memory["lines"]).encode())


OWN = f"{__name__}:FileTracker"
ROWS = [{"cycle": cycle, "miou": 0.1 * cycle, "final_miou": None} for cycle in range(3)]


def teller(storage, rows, monkeypatch):
    monkeypatch.setattr("ray_al.driver.track.curve_rows", lambda state: rows)
    config = parse_config({"tracking": {"own": [{"kind": OWN, "name": "told.json"}]}}, source="t")
    return CurveLogger(storage, config)


def test_each_cycle_is_told_once_by_however_many_hosts(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    teller(storage, ROWS[:2], monkeypatch)(State())
    teller(storage, ROWS, monkeypatch)(State())
    assert [step for step, _ in json.loads(storage.read("told.json"))] == [0, 1, 2]


def test_a_tracker_that_fails_stops_nothing_and_is_told_again(tmp_path, monkeypatch, caplog):
    storage = Storage(str(tmp_path))
    storage.replace("tracking.json", json.dumps({OWN: {"broken_at": 1}}).encode())
    teller(storage, ROWS, monkeypatch)(State())
    assert "the disk is full" in caplog.text
    kept = json.loads(storage.read("tracking.json"))
    storage.replace("tracking.json", json.dumps({OWN: {**kept[OWN], "broken_at": -1}}).encode())
    teller(storage, ROWS, monkeypatch)(State())
    assert [step for step, _ in json.loads(storage.read("told.json"))] == [0, 1, 2]


@pytest.mark.parametrize("kind", [*TRACKERS.kinds, OWN])
def test_it_is_asked_for_and_its_package_is_missed(kind, monkeypatch):
    own = {"own": [{"kind": kind}]}
    named: dict[str, Any] = {"tensorboard": True} if kind == "tensorboard" else {kind: {}}
    config = parse_config({"tracking": own if kind == OWN else named}, source="t")
    (tracker,) = config.tracking.trackers
    assert tracker.kind == kind
    assert parse_config(config.model_dump(mode="json"), source="t") == config
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if tracker.package is None:
        check_tracking(config)
    else:
        with pytest.raises(ConfigError, match=f"pip install {tracker.package}"):
            check_tracking(config)


@pytest.mark.parametrize(
    ("tracking", "words"),
    [
        ({"mlflow": {}, "own": [{"kind": "mlflow"}]}, ["'mlflow' is asked for twice"]),
        ({"mlflow": {"experimnt": "x"}}, ["tracking.mlflow.experimnt", "'experiment'"]),
        ({"wandb": {"mode": "of"}}, ["tracking.wandb.mode", "'offline' or 'online'"]),
        ({"own": [{"kind": "mlflo"}]}, ["did you mean 'mlflow'"]),
    ],
)
def test_wrong_settings_are_refused(tracking, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"tracking": tracking}, source="t")
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.slow  # imports Ray and the services' packages
@pytest.mark.parametrize(
    ("kind", "shows"), [("tensorboard", False), ("mlflow", True), ("wandb", True)]
)
def test_a_sweep_is_shown_by_a_callback_of_tune(kind, shows, tmp_path):
    pytest.importorskip(TRACKERS.find(kind).package)
    callback = TRACKERS.parse({"kind": kind}).for_sweep(Storage(str(tmp_path)), "sweep")
    assert (callback is not None) == shows

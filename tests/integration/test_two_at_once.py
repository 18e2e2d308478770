"""Two processes with one run, sweep or comparison: one continues, the other is refused.

The second one touches nothing, and files that events name stay.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import python_path

from ray_al.compare import files, output
from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, RunHeldError
from ray_al.core.process import this_process
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, Metrics, TrainResult
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver import final, loop
from ray_al.driver.actions.select import Select
from ray_al.driver.create import create_run
from ray_al.driver.fork import fork_run, start_config
from ray_al.driver.lease import Lease
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.records import DriverStarted
from ray_al.sweep.config import load_sweep
from ray_al.sweep.create import create_sweep
from ray_al.sweep.run import run_sweep

VALUES: dict[str, Any] = {
    "model": {"name": "helpers.networks:normalised"},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 2, "batch_size": 2, "threads": 1},
    "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32", "threads": 1},
    "budget": {"start": 4, "per_cycle": 4, "amount": 8},
    "cluster": {"host": "process", "keep_checkpoints": 1},
    "report": {"num_images": 1},
}


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    monkeypatch.setattr("ray_al.driver.lease.GRACE_S", 0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("two") / "data"
    write_synthetic(str(root), num_images=6, seed=0)
    return str(root)


def configure(data, **changes):
    values = {name: {**section, **changes.get(name, {})} for name, section in VALUES.items()}
    return parse_config({**values, "data": {"root": data, "image_size": [32, 48]}}, source="test")


def content(root):
    return {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


def test_a_run_that_was_made_meanwhile_is_left_as_it_is(data, tmp_path, monkeypatch):
    out = str(tmp_path / "run")
    seen: list[Any] = []

    def meanwhile(config, num_classes, num_images):
        if not seen:
            seen.append(None)
            create_run(configure(data, train={"steps": 9}), out)
            seen[0] = content(out)
        return config

    monkeypatch.setattr("ray_al.driver.create._resolve", meanwhile)
    monkeypatch.setattr("ray_al.driver.create.measure_batch_size", lambda config, num_classes: 2)
    with pytest.raises(ConfigError, match="another process has made a run there in the meantime"):
        create_run(configure(data), out)
    assert content(out) == seen[0]
    assert read_config(Storage(out)).train.steps == 9


@pytest.mark.parametrize("taken", ["before it begins", "in the middle"])
def test_a_driver_that_loses_its_run_touches_nothing_of_it(data, tmp_path, monkeypatch, taken):
    out = create_run(configure(data), str(tmp_path / "run"))
    storage, seen = Storage(out), []

    def other():
        """What another driver does that has taken the run over."""
        Journal(storage).append(DriverStarted(term=7, host="h", pid=1))
        storage.replace("status.json", b'{"stage": "of the other"}')
        storage.replace(
            "lease.json", json.dumps({**this_process(), "token": "of the other"}).encode()
        )
        seen.append(content(out))

    def taken_over(action, context, perform=Select.perform):
        done = perform(action, context)
        if not seen:
            other()
        return done

    if taken == "in the middle":
        monkeypatch.setattr(Select, "perform", taken_over)
    else:
        monkeypatch.setattr(loop._Loop, "_tell", lambda self: other())
    with pytest.raises(RunHeldError):
        run_loop(out)
    after = content(out)
    assert {path: data for path, data in after.items() if path in seen[0]} == seen[0]
    assert json.loads(storage.read("lease.json"))["token"] == "of the other"


def test_a_looker_on_is_refused_at_once(data, tmp_path):
    out = create_run(configure(data), str(tmp_path / "run"))
    with Lease(Storage(out)).acquire():
        before = content(out)
        with pytest.raises(RunHeldError, match="holds this run"):
            run_loop(out)
        assert content(out) == before


RULES = [
    "class_aware",
    *(pytest.param(rule, marks=pytest.mark.slow) for rule in ("random", "equal_per_image")),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_start_that_keeps_one_checkpoint_can_be_forked(data, tmp_path, rule):
    config = configure(data, budget={"start": 6, "start_rule": rule, "per_cycle": 2, "amount": 8})
    start = create_run(start_config(config), str(tmp_path / "start"))
    run_loop(start)
    out = fork_run(start, config, str(tmp_path / "fork"))
    assert run_loop(out).kind == "finished"
    assert verify(out)["labelled_regions"] == 8
    with pytest.raises(
        ConfigError,
        match=r"cycles/0000/checkpoint/model.pt: is gone.*begin with one that has ended at cycle 0",
    ):
        fork_run(out, config, str(tmp_path / "late"))
    assert not (tmp_path / "late").exists()


@pytest.fixture
def labelled(data, tmp_path, monkeypatch):
    """A run with labels, and final trainings that write what `weights` holds."""
    out = create_run(configure(data), str(tmp_path / "run"))
    steps = iter([False] * 200)
    run_loop(
        out,
        should_stop=lambda: (
            next(steps, True) or bool(fold(Journal(Storage(out)).events).label_parts)
        ),
    )
    weights: dict[str, Any] = {"bytes": b"first", "miou": 0.5}

    class Trainer:
        def train(self, plan, **asked):
            if isinstance(weights["bytes"], BaseException):
                raise weights["bytes"]
            ref = Storage(out).put(
                f"{plan.output}/model.pt", weights["bytes"], attempt=plan.attempt
            )
            metrics = Metrics(miou=weights["miou"], pixel_accuracy=0.5, iou=(), num_images=1)
            if "then" in weights:
                raise weights["then"]
            return TrainResult(
                cycle=plan.cycle,
                attempt=plan.attempt,
                files={"model.pt": ref},
                metrics={"val": metrics},
                num_steps=1,
                losses=(),
                class_pixels=(),
                train_seconds=1.0,
                evaluate_seconds=1.0,
                num_images=1,
            )

        def close(self):
            pass

    monkeypatch.setattr(final, "open_trainer", lambda *arguments, **options: Trainer())
    return out, weights


def train_final(out, kind="final"):
    return final.train_final(
        out, kind, progress=lambda done, total: None, should_stop=lambda: False
    )


def named(out, kind="final"):
    metrics = json.loads(Storage(out).read(f"{kind}/metrics.json"))
    return Storage(out).read_ref(FileRef.from_dict(metrics["files"]["model.pt"]))


def test_a_final_model_is_there_until_the_next_one_is(labelled):
    out, weights = labelled
    train_final(out)
    assert named(out) == b"first"
    for broken in (KeyboardInterrupt(), OSError(28, "No space left on device")):
        weights["bytes"] = broken
        with pytest.raises(type(broken)):
            train_final(out)
        assert named(out) == b"first"
    weights.update(bytes=b"second", then=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_final(out)
    assert named(out) == b"first"
    del weights["then"]
    for content_of in (b"third", b"third", b"fourth"):
        weights["bytes"] = content_of
        train_final(out)
        assert named(out) == content_of
    files = [path for path in Path(out, "final").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["metrics.json", "model.pt"]


def test_two_final_trainings_at_once(labelled):
    out, weights = labelled
    with Lease(Storage(out), "final/lease.json").acquire():
        with pytest.raises(RunHeldError, match="trains the final model"):
            train_final(out)
        weights["miou"] = 0.8
        train_final(out, "upper_bound")  # another training, which may go on beside it
    weights["miou"] = 0.6
    assert train_final(out).share_of_full_score == pytest.approx(0.75)
    Storage(out).replace("upper_bound/metrics.json", b"{")
    assert train_final(out).share_of_full_score is None
    assert b"share_of_full_score" not in Storage(out).read("final/metrics.json")


SWEEP = (
    "{{name: s, run: {{data: {{root: {data}}}, budget: {{start: 4, per_cycle: 4, amount: 8}}}}, "
    "space: {{strategy.acquisition: [{score}]}}, seeds: [0]}}"
)


def test_of_two_sweeps_in_one_directory_one_is_made_and_one_carried_on(data, tmp_path, monkeypatch):
    sweeps = []
    for score in ("entropy", "margin"):
        (tmp_path / "s.yaml").write_text(SWEEP.format(data=data, score=score))
        sweeps.append(load_sweep(str(tmp_path / "s.yaml"), ()))
    out, real = str(tmp_path / "sweep"), sys.modules["ray_al.sweep.create"].plan_trials
    seen: list[Any] = []

    def meanwhile(sweep):
        if not seen:
            seen.append(True)
            create_sweep(sweeps[1], out)
            seen.append(content(out))
        return real(sweep)

    monkeypatch.setattr("ray_al.sweep.create.plan_trials", meanwhile)
    with pytest.raises(
        ConfigError, match="another process has made a sweep there in the meantime.*ray-al status"
    ):
        create_sweep(sweeps[0], out)
    assert content(out) == seen[1]
    monkeypatch.setattr(
        "ray_al.sweep.run.connect", lambda *arguments, **options: pytest.fail("went on")
    )
    with Lease(Storage(out)).acquire(), pytest.raises(RunHeldError, match="carries this sweep on"):
        run_sweep(out)
    with pytest.raises(ConfigError, match="not a sweep directory"):
        run_sweep(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


class Named:
    """Facts that are nothing but a name."""

    def __init__(self, name):
        self.name = name

    def json_values(self):
        return {"name": self.name}


def test_two_comparisons_in_one_folder_do_not_mix(tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    monkeypatch.setattr(output, "charts", lambda facts: [])
    monkeypatch.setattr(output, "csv_text", lambda rows: rows)
    for name in ("summary_rows", "curve_rows", "latex_table"):
        monkeypatch.setattr(output, name, lambda facts: facts.name)
    real = Storage.replace

    def replace(self, name, data):
        if name == "curves.csv" and data == b"a":  # in the middle of a's files
            with pytest.raises(RunHeldError, match="writes a comparison there"):
                output.write_comparison(Named("b"), out)
        real(self, name, data)

    monkeypatch.setattr(output, "_page", lambda facts, pictures: facts.name)
    monkeypatch.setattr(files, "STALE_S", 0.0)
    monkeypatch.setattr(Storage, "replace", replace)
    output.write_comparison(Named("a"), out)
    assert {Path(out, name).read_text() for name in ("table.tex", "compare.html")} == {"a"}
    output.write_comparison(Named("b"), out)
    assert {Path(out, name).read_text() for name in ("table.tex", "compare.html")} == {"b"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["default", "same"])
def test_three_seeds_started_in_the_same_second(data, tmp_path, place):
    (tmp_path / "c.yaml").write_text(
        json.dumps({**VALUES, "name": "seeds", "data": {"root": data, "image_size": [32, 48]}})
    )
    arguments = [
        sys.executable,
        "-m",
        "ray_al.cli",
        "run",
        "c.yaml",
        *(["--out", "runs/x"] if place == "same" else []),
    ]
    env = {**os.environ, "PYTHONPATH": python_path()}
    processes = [
        subprocess.Popen(
            [*arguments, "--set", f"seed={seed}"],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    said = [process.communicate(timeout=280) for process in processes]
    codes = [process.returncode for process in processes]
    runs = sorted((tmp_path / "runs").iterdir())
    assert sorted(codes) == ([0, 0, 0] if place == "default" else [0, 2, 2]), said
    assert len(runs) == (3 if place == "default" else 1)
    for run in runs:
        verify(str(run))
    seeds = {read_config(Storage(str(run))).seed for run in runs}
    assert seeds == {seed for seed, code in enumerate(codes) if code == 0}
    for (_, error), code in zip(said, codes, strict=True):
        if code == 2:
            assert error.strip().startswith("error: --out runs/x: ")
            assert "delete it" not in error

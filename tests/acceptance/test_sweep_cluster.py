"""Sweeps on a cluster: after any death the same table, at equal budget, and nothing left behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from helpers.paths import ROOT

from ray_al.core.storage import Storage
from ray_al.driver.verify import verify

FAST = {"train.steps": 2, "scoring.workers": 0, "strategy.batch.kind": "topk"}


def write(place, name, **values):
    path = place.folder / f"{name}.yaml"
    values = {"name": name, "base": "c.yaml", "run": FAST, **values}
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def table(place, name):
    """State, budget and scores of every trial of a sweep whose runs verify."""
    facts = json.loads(place.ray_al("status", place.folder / name, "--json").stdout)
    for row in facts["trials"]:
        if row["state"] == "finished":
            verify(row["run"])
    return {
        row["trial"]: (row["state"], row["spent"], row["miou"], row["aubc"])
        for row in facts["trials"]
    }


PLAN = {"space": {"strategy.acquisition": ["entropy"]}, "seeds": [0, 1]}


@pytest.fixture(scope="module")
def undisturbed(place):
    done = place.ray_al(
        "sweep", write(place, "undisturbed", **PLAN), "--out", place.folder / "undisturbed"
    )
    assert done.returncode == 0, done.stderr
    rows = table(place, "undisturbed")
    assert len(rows) == 4
    assert {state for state, *_ in rows.values()} == {"finished"}
    return rows


def test_the_first_model_of_a_seed_is_shared(place, undisturbed):
    files = {
        name: (place.folder / "undisturbed" / "runs" / name / "journal").glob("*.json")
        for name in undisturbed
    }
    trained = {}
    for name, paths in files.items():
        events = [json.loads(path.read_text()) for path in sorted(paths)]
        trained[name] = next(
            event["data"]["files"]["model.pt"]["sha256"]
            for event in events
            if event["kind"] == "cycle_trained"
        )
    assert len(set(trained.values())) == 2
    assert len(list((place.folder / "undisturbed" / "starts").glob("*/journal"))) == 2


def test_a_sweep_killed_at_three_moments_gives_the_same_table(place, undisturbed):
    folder = place.folder / "killed_sweep"
    process = place.start("sweep", write(place, "killed_sweep", **PLAN), "--out", folder)
    for count in sorted(random.Random(1).sample(range(10, 70), 3)):
        wait_for_events(folder, count, process)
        process.kill()
        process.wait()
        process = place.start("sweep", "--resume", folder)
    assert process.wait(280) == 0
    assert table(place, "killed_sweep") == undisturbed


@pytest.mark.slow
def test_trials_of_two_calls_make_the_same_table(place, undisturbed):
    folder = place.folder / "two_calls"
    file = write(place, "two_calls", **PLAN)
    first = place.ray_al("sweep", file, "--only", "entropy", "--out", folder)
    assert first.returncode == 0, first.stderr
    assert "other trials wait; nothing is lost" in first.stderr
    states = {trial: state for trial, (state, *_) in table(place, "two_calls").items()}
    assert {trial for trial, state in states.items() if state == "finished"} == {
        "entropy-seed0",
        "entropy-seed1",
    }
    assert set(states.values()) == {"finished", "waiting"}
    assert place.ray_al("sweep", "--resume", folder).returncode == 0
    assert table(place, "two_calls") == undisturbed


def wait_for_events(folder, count, process):
    deadline = time.monotonic() + 200
    while len(list(folder.glob("*/*/journal/0*.json"))) < count:
        assert process.poll() is None, "the sweep ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_trial_that_dies_goes_on(place, undisturbed):
    folder = place.folder / "dying_trial"
    process = place.start("sweep", write(place, "dying_trial", **PLAN), "--out", folder)
    deadline = time.monotonic() + 200
    while not list(folder.glob("runs/entropy-seed0/lease.json")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(
        json.loads((folder / "runs/entropy-seed0/lease.json").read_text())["pid"], signal.SIGKILL
    )
    assert process.wait(280) == 0
    assert table(place, "dying_trial") == undisturbed


@pytest.mark.slow
def test_a_trial_that_fails_says_why_and_the_others_finish(place):
    space = {"model.name": ["lraspp_mobilenet_v3_large", "helpers.failing:Failing"]}
    path = write(place, "failing", space=space, limits={"retries": 0})
    done = place.ray_al("sweep", path, "--out", place.folder / "failing")
    assert done.returncode == 1
    assert "this network cannot be trained" in done.stdout
    states = {name: row[0] for name, row in table(place, "failing").items()}
    assert states["random-topk-seed0"] == states["lraspp_mobilenet_v3_large-seed0"] == "finished"
    assert sorted(states.values()) == ["failed", "finished", "finished"]


FREE = """
import json, time, ray
from ray.util.state import list_actors, list_placement_groups
# Ray Data's own, one per cluster
SERVICES = ("_StatsActor", "_AutoscalingCoordinatorActor", "_UsageCollectionActor")
ray.init(log_to_driver=False)
deadline = time.monotonic() + 60
while True:
    free = ray.available_resources() == ray.cluster_resources()
    groups = [group.state for group in list_placement_groups() if group.state != "REMOVED"]
    alive = [actor.class_name for actor in list_actors() if actor.state != "DEAD"]
    actors = [name for name in alive if name not in SERVICES]
    if (free and not groups and not actors) or time.monotonic() > deadline:
        print(json.dumps({"free": free, "groups": groups, "actors": actors}))
        break
    time.sleep(0.5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_asha_stops_some_and_leaves_nothing_behind(place, workers):
    space = {"train.learning_rate": [1e-9, 1e-2], "budget.per_cycle": [4, 1]}
    name = f"asha-{workers}"
    path = write(
        place,
        name,
        run={
            **FAST,
            "train.steps": 6,
            "train.workers": workers,
            "budget.start": "15 %",
            "budget.amount": "35 %",
        },
        space=space,
        reference={"strategy.acquisition": "random", "budget.per_cycle": 4},
        scheduler={"kind": "asha", "first": "15 %", "reduction": 2},
        limits={"at_once": 2},
    )
    done = place.ray_al("sweep", path, "--out", place.folder / name)
    assert done.returncode == 0, done.stderr
    rows = json.loads(place.ray_al("status", place.folder / name, "--json").stdout)["trials"]
    stopped = [row for row in rows if row["state"] == "stopped"]
    assert {row["state"] for row in rows} == {"finished", "stopped"}
    assert stopped
    assert rows[0]["state"] == "finished"  # the reference is never stopped
    for row in stopped:
        outcome = json.loads(
            Storage(str(place.folder / name)).read(f"outcomes/{row['trial']}.json")
        )
        assert any(outcome["budget"] == pytest.approx(0.15 * 2**k) for k in range(2))
    found = subprocess.run(
        [sys.executable, "-c", FREE],
        env=place.env_of_ray,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert json.loads(found.stdout.splitlines()[-1]) == {"free": True, "groups": [], "actors": []}
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("ray::" in part and "_trial" in part for part in process.info["cmdline"] or [])
    ]


def test_more_at_once_than_fit_is_refused_with_the_numbers(place):
    done = place.ray_al(
        "sweep", write(place, "many", limits={"at_once": 9}), "--out", place.folder / "many"
    )
    assert done.returncode == 2
    assert "limits.at_once=9: one run needs 1 CPUs" in done.stderr


@pytest.mark.slow
def test_a_job_submits_a_sweep(place):
    ray = str(Path(sys.executable).parent / "ray")
    path = write(place, "sweep_job", space={"strategy.acquisition": ["entropy"]})
    arguments = [
        "--working-dir",
        str(ROOT),
        "--",
        "python",
        "jobs/sweep.py",
        path,
        "--out",
        place.folder / "sweep_job",
    ]
    command = [ray, "job", "submit", "--address", place.dashboard, *map(str, arguments)]
    done = subprocess.run(
        command, env=place.env_of_ray, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert {row[0] for row in table(place, "sweep_job").values()} == {"finished"}

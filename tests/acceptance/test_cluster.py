"""Runs on a cluster: equal queries for any number of workers and after any crash.

The exit code of a job is its run's.
"""

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
from helpers.paths import ROOT

SLOW = [
    pytest.param([setting], marks=pytest.mark.slow)
    for setting in ("scoring.workers=1", "train.workers=1")
]


@pytest.mark.parametrize("settings", [["scoring.workers=3"], *SLOW], ids=" ".join)
def test_any_number_of_workers_chooses_the_same(place, expected, settings):
    assert place.run("-".join(settings), *settings) == expected


TWO_PASSES = {
    **{
        rule: [f"strategy.batch.kind={rule}"]
        for rule in ("badge", "kcenter", "clue", "kmeans", "maxherding", "redal", "typiclust")
    },
    "lazy": ["strategy.batch.kind=topk", "strategy.lazy={share: 0.4, check: 0.5, min_recall: 1}"],
    "superpixels": ["regions={kind: superpixels, count: 12}", "strategy.batch.kind=kcenter"],
    "windows": ["regions={kind: windows, radius: 2, per_image: 5}", "strategy.batch.kind=kcenter"],
}
"""Strategies with two passes over the pool per cycle: scores and features, or best and rest."""


@pytest.mark.parametrize(
    "name",
    [
        name if name == "badge" else pytest.param(name, marks=pytest.mark.slow)
        for name in TWO_PASSES
    ],
)
def test_a_run_killed_at_five_moments_chooses_the_same(place, name):
    settings = ("scoring.workers=0", *TWO_PASSES[name])
    whole, killed = f"alone-{name}", f"killed-{name}"
    expected = place.run(whole, "cluster.host=process", *settings)
    process = place.start(*place.new(killed, *settings))
    for count in sorted(random.Random(0).sample(range(5, place.num_events(whole) - 6), 5)):
        place.wait_for_events(killed, count, process)
        process.kill()
        process.wait()
        process = place.start("resume", place.folder / killed)
    assert process.wait(280) == 0
    assert place.queries(killed) == expected


def test_a_driver_that_dies_restarts_and_goes_on(place, expected):
    process = place.start(*place.new("driver"))
    place.wait_for_events("driver", 12, process)
    pid = json.loads((place.folder / "driver" / "lease.json").read_text())["pid"]
    assert pid != process.pid
    os.kill(pid, signal.SIGKILL)
    assert process.wait(280) == 0
    assert place.queries("driver") == expected


OTHER = (
    "import ray, time; ray.init(address='local', num_cpus=1, log_to_driver=False); "
    "print('ready', flush=True); time.sleep(280)"
)
GROUPS = """
import json, sys, time, ray
from ray.util.state import list_placement_groups
ray.init(log_to_driver=False)
wanted = json.loads(sys.argv[1])
deadline = time.monotonic() + 120
while True:
    states = [group.state for group in list_placement_groups()]
    counts = [states.count("REMOVED"), states.count("CREATED")]
    if wanted in (None, counts) or time.monotonic() > deadline:
        print(json.dumps(counts))
        break
    time.sleep(0.5)
"""


def groups(place, wanted=None):
    """Placement groups of the cluster, removed and living ones, once they are as wanted."""
    arguments = [sys.executable, "-c", GROUPS, json.dumps(wanted)]
    found = subprocess.run(
        arguments, env=place.env_of_ray, capture_output=True, text=True, timeout=200
    )
    return json.loads(found.stdout)


@pytest.mark.slow
def test_a_dead_drivers_group_is_freed_beside_another_cluster(place):
    """Ray Train's helper looks for the machine's only cluster, unless its own is named."""
    alone = {key: value for key, value in place.env.items() if key != "RAY_ADDRESS"}
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER], env=alone, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "ready\n"
    removed, living = groups(place)
    assert living == 0
    process = place.start(*place.new("beside", "train.workers=1", "train.steps=100000"))
    try:
        place.wait_for_status("beside", "train", process)
        os.kill(
            json.loads((place.folder / "beside" / "lease.json").read_text())["pid"], signal.SIGKILL
        )
        assert groups(place, [removed + 1, 1]) == [removed + 1, 1]
    finally:
        process.terminate()
        assert process.wait(30) == 130
        other.kill()


def test_a_scorer_that_dies_is_replaced(place, expected):
    process = place.start(*place.new("scorer", "scoring.shard_size=1"))
    place.wait_for_events("scorer", 9, process)
    for one in psutil.process_iter(["cmdline"]):
        if any("ray::" in part and "score_batch" in part for part in one.info["cmdline"] or []):
            one.kill()
    assert process.wait(280) == 0
    assert place.queries("scorer") == expected


def test_a_second_driver_leaves_with_exit_code_3(place):
    process = place.start(
        *place.new(
            "held",
            "cluster.host=process",
            "scoring.workers=0",
            "train.steps=150",
            "budget.amount=8",
        )
    )
    place.wait_for_events("held", 6, process)
    second = place.ray_al("resume", place.folder / "held")
    assert second.returncode == 3
    assert "holds this run" in second.stderr
    assert process.wait(280) == 0
    assert place.queries("held")


@pytest.mark.slow
@pytest.mark.parametrize("send", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_looker_on_stops_nobody(place, send):
    """Another command joins a run's driver actor in the same cluster, and is ended on its own."""
    name = f"looked-{send.name}"
    process = place.start(*place.new(name, "train.steps=400", "budget.amount=8"))
    place.wait_for_events(name, 4, process)
    for seconds in (1, 4, None):
        second = place.start("resume", place.folder / name)
        if seconds is not None:
            time.sleep(seconds)
            second.send_signal(send)
        assert second.wait(120) in ((3,) if seconds is None else (3, 130, -send))
        assert process.poll() is None
    assert process.wait(280) == 0
    assert place.queries(name)


def submit(place, *arguments):
    ray = str(Path(sys.executable).parent / "ray")
    command = [
        ray,
        "job",
        "submit",
        "--address",
        place.dashboard,
        "--working-dir",
        str(ROOT),
        "--",
        "python",
        "jobs/run.py",
        *map(str, arguments),
    ]
    return subprocess.run(
        command, env=place.env_of_ray, capture_output=True, text=True, timeout=280
    )


def test_a_jobs_exit_code_follows_the_runs(place, expected):
    done = submit(place, place.folder / "c.yaml", "--out", place.folder / "job")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert place.queries("job") == expected
    failed = submit(place, place.folder / "c.yaml", "--set", "train.stepz=1")
    assert failed.returncode == 1
    assert "did you mean 'steps'?" in failed.stdout + failed.stderr


@pytest.mark.slow
def test_a_job_writes_no_run_into_its_working_directory(place):
    relative = submit(place, "jobs/demo.yaml", "--out", "here")
    assert relative.returncode == 1
    assert "thrown away" in relative.stdout + relative.stderr


@pytest.mark.slow
def test_sigterm_ends_a_job_cleanly_between_two_steps(place, expected):
    arguments = [str(argument) for argument in place.new("stopped")[1:]]
    process = subprocess.Popen(
        [sys.executable, "jobs/run.py", *arguments],
        cwd=ROOT,
        env=place.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    place.wait_for_events("stopped", 10, process)
    process.terminate()
    assert process.wait(60) == 130
    assert not (place.folder / "stopped" / "lease.json").exists()
    assert (
        json.loads(place.ray_al("status", place.folder / "stopped", "--json").stdout)["stage"]
        == "interrupted"
    )
    assert place.ray_al("resume", place.folder / "stopped").returncode == 0
    assert place.queries("stopped") == expected

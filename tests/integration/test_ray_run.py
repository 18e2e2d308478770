"""Whole runs on a real local Ray: the same queries for any number of workers, and after the driver's death."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold

CONFIG = """
name: small
data: {{dataset: synthetic, root: {root}, image_size: [32, 48]}}
regions: {{rows: 2, columns: 2}}
train: {{steps: 2, batch_size: 2, workers: 0}}
strategy: {{score: equal}}
score: {{workers: 1, threads: 1, batch_size: 2, precision: fp32, shard_size: 2}}
budget: {{start: 4, per_cycle: 4, amount: 12}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("ray")
    write_synthetic(str(place / "data"), num_images=8, seed=0)
    (place / "c.yaml").write_text(CONFIG.format(root=place / "data"))
    return place


def ray_al(*arguments):
    return [sys.executable, "-m", "ray_al.cli", *map(str, arguments)]


def run(place, name, *settings):
    overrides = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(ray_al("run", place / "c.yaml", "--out", place / name, *overrides), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return queries(place / name)


def queries(run_dir):
    storage = Storage(str(run_dir))
    verify(str(run_dir))
    return [storage.read(query.file.path) for query in fold(Journal(storage).events).queries]


@pytest.fixture(scope="module")
def expected(place):
    return run(place, "alone", "cluster.host=process", "score.workers=0")


def test_three_scoring_workers_choose_the_same(place, expected):
    assert run(place, "three", "score.workers=3") == expected


def test_a_killed_run_goes_on_and_chooses_the_same(place, expected):
    process = subprocess.Popen(
        ray_al(
            "run", place / "c.yaml", "--out", place / "killed", "--set", "cluster.host=process", "--set", "score.workers=0", "--set", "train.steps=2"
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = place / "killed" / "journal"
    deadline = time.monotonic() + 120
    while not (journal.is_dir() and len(list(journal.glob("0*.json"))) >= 8):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(ray_al("resume", place / "killed"), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert queries(place / "killed") == expected

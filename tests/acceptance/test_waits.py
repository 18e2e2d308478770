"""Every wait has a limit and a message: small or lost clusters, dying drivers, signals."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from helpers.clusters import CONFIG
from helpers.paths import python_path

from ray_al.datasets.synthetic import write_synthetic

pytestmark = pytest.mark.slow


class Alone:
    """A folder with data and a configuration, for commands that start a private cluster each."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | {
            "PYTHONPATH": python_path()
        }

    def command(self, name, *settings):
        overrides = [part for setting in settings for part in ("--set", setting)]
        return [
            sys.executable,
            "-m",
            "ray_al.cli",
            "run",
            str(self.folder / "c.yaml"),
            "--out",
            str(self.folder / name),
            *overrides,
        ]

    def run(self, name, *settings, timeout=280):
        return subprocess.run(
            self.command(name, *settings),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(self, name, *settings):
        errors = (self.folder / f"{name}.err").open("w")
        return subprocess.Popen(
            self.command(name, *settings), env=self.env, stdout=subprocess.DEVNULL, stderr=errors
        )

    def errors(self, name):
        return (self.folder / f"{name}.err").read_text()

    def wait_for(self, name, words, process, seconds=120):
        deadline = time.monotonic() + seconds
        while words not in self.errors(name):
            assert process.poll() is None, self.errors(name)
            assert time.monotonic() < deadline, self.errors(name)
            time.sleep(0.1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    write_synthetic(str(folder / "data"), num_images=8, seed=0)
    (folder / "c.yaml").write_text(CONFIG.format(root=folder / "data"))
    return Alone(folder)


TOO_BIG = {
    "workers": ["train.workers=6", "train.batch_size=6", "cluster.num_cpus=2"],
    "a GPU to train": ["train.workers=1", "train.gpus_per_worker=1"],
    "a GPU to score": ["scoring.gpus_per_worker=1"],
}


@pytest.mark.parametrize("name", TOO_BIG)
def test_a_run_that_does_not_fit_is_refused_before_it_is_written(alone, name):
    done = alone.run(name.replace(" ", "-"), *TOO_BIG[name])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the cluster has" in done.stderr
    assert not (alone.folder / name.replace(" ", "-")).exists()


def test_a_driver_that_dies_at_every_try_is_given_up(alone):
    done = alone.run("crashing", "model.name=helpers.crashing:Crashing")
    assert done.returncode == 1
    assert "died 3 times without getting any further" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_head_that_is_lost_ends_the_run(alone):
    process = alone.start("headless", "train.steps=100000", "train.workers=0")
    alone.wait_for("headless", "train", process)
    for one in psutil.Process(process.pid).children(recursive=True):
        if "gcs_server" in one.name():
            one.kill()
    assert process.wait(150) == 1


MOMENTS = {
    "connecting": ("", []),
    "starting": ("starting", []),
    "a group that starts": ("label", ["train.workers=1"]),
    "training": ("train ", ["train.steps=100000"]),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_a_run_within_ten_seconds(alone, moment, number):
    name = f"{moment.replace(' ', '-')}-{number}"
    words, settings = MOMENTS[moment]
    process = alone.start(name, *settings)
    try:
        if words:
            alone.wait_for(name, words, process)
        else:
            time.sleep(6)  # past the imports of the command, into Ray's start
        children = psutil.Process(process.pid).children(recursive=True)
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(60) == 130
        assert time.monotonic() - start < 12
        assert "Traceback" not in alone.errors(name)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive
    finally:
        process.kill()

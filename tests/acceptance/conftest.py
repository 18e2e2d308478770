"""A cluster as `ray start` makes it, on its own ports, and the command line as a user calls it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.clusters import CONFIG, PORTS, free_ports
from helpers.paths import python_path

from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold


class Place:
    """A folder with data and a configuration, and a cluster to run on."""

    def __init__(self, folder: Path, address: str, dashboard: str) -> None:
        self.folder, self.address, self.dashboard = folder, address, dashboard
        self.env = {**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": python_path()}
        self.env_of_ray = {**self.env, "RAY_AUTH_MODE": "token"}
        """Ray's own commands show a token only where they are told to."""

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "ray_al.cli", *map(str, arguments)]

    def ray_al(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.env, capture_output=True, text=True, timeout=280
        )

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def new(self, name: str, *settings: str) -> list[object]:
        overrides = [part for setting in settings for part in ("--set", setting)]
        return ["run", self.folder / "c.yaml", "--out", self.folder / name, *overrides]

    def run(self, name: str, *settings: str) -> list[bytes]:
        done = self.ray_al(*self.new(name, *settings))
        assert done.returncode == 0, done.stderr
        return self.queries(name)

    def queries(self, name: str) -> list[bytes]:
        """The query files of a run that verifies."""
        verify(str(self.folder / name))
        storage = Storage(str(self.folder / name))
        return [storage.read(query.file.path) for query in fold(Journal(storage).events).queries]

    def num_events(self, name: str) -> int:
        return len(list((self.folder / name / "journal").glob("0*.json")))

    def wait_for_events(self, name: str, count: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 120
        while self.num_events(name) < count:
            assert process.poll() is None, "the run ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def wait_for_status(self, name: str, stage: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until the run is in the midst of `stage`."""
        path, deadline = self.folder / name / "status.json", time.monotonic() + 200
        while (
            not path.exists()
            or (live := json.loads(path.read_text()))["stage"] != stage
            or not live["done"]
        ):
            assert process.poll() is None, "the run ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acceptance")
    write_synthetic(str(folder / "data"), num_images=8, seed=0)
    (folder / "c.yaml").write_text(CONFIG.format(root=folder / "data"))
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    temporary = tmp_path_factory.mktemp("r")
    ray = str(Path(sys.executable).parent / "ray")
    options = [f"--{name}={port}" for name, port in ports.items()]
    arguments = [
        ray,
        "start",
        "--head",
        "--block",
        "--num-cpus=4",
        f"--temp-dir={temporary}",
        "--object-store-memory=200000000",
        *options,
    ]
    env = {**os.environ, "PYTHONPATH": python_path(), "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    process = subprocess.Popen(
        arguments,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for_port(ports["dashboard-port"], process)
        yield Place(
            folder, f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['dashboard-port']}"
        )
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None, "ray start ended"
        assert time.monotonic() < deadline, "the dashboard does not answer"
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)


@pytest.fixture(scope="session")
def expected(place):
    """The queries of an undisturbed run in one process."""
    return place.run("alone", "cluster.host=process", "scoring.workers=0")

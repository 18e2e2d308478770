"""A newcomer's order of commands, in a home directory without a token.

Ray makes one at the first command, and asks for it from then on.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.clusters import CONFIG, PORTS, free_ports
from helpers.paths import ROOT

from ray_al.datasets.synthetic import write_synthetic

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


def call(env, *command):
    return subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )


def ray_al(env, *arguments):
    return call(env, sys.executable, "-m", "ray_al.cli", *arguments)


@pytest.fixture
def home(tmp_path):
    """A configuration, and the environment of a user who has never started Ray."""
    write_synthetic(str(tmp_path / "data"), num_images=8, seed=0)
    (tmp_path / "c.yaml").write_text(CONFIG.format(root=tmp_path / "data"))
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("RAY_AUTH") and key != "RAY_ADDRESS"
    }
    return tmp_path, {
        **kept,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


def test_demo_then_ray_start_then_run_then_job(home, tmp_path_factory):
    folder, env = home
    first = ray_al(env, "run", folder / "c.yaml", "--out", folder / "private")
    assert first.returncode == 0, first.stderr
    token = folder / ".ray" / "auth_token"
    assert token.exists()

    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    options = [f"--{name}={port}" for name, port in ports.items()]
    temporary = f"--temp-dir={tmp_path_factory.mktemp('r')}"
    head = subprocess.Popen(
        [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=4", temporary, *options],
        env=env,
        stdout=subprocess.DEVNULL,
    )
    address, dashboard = f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['dashboard-port']}"
    try:
        time.sleep(20)
        named = {**env, "RAY_ADDRESS": address}
        second = ray_al(named, "run", folder / "c.yaml", "--out", folder / "named")
        assert second.returncode == 0, second.stderr

        job = (
            "job",
            "submit",
            "--address",
            dashboard,
            "--working-dir",
            ROOT,
            "--",
            "python",
            "jobs/run.py",
            folder / "c.yaml",
            "--out",
            folder / "job",
        )
        submitted = call({**env, "RAY_AUTH_MODE": "token"}, BIN / "ray", *job)
        assert submitted.returncode == 0, submitted.stdout[-2000:] + submitted.stderr[-2000:]

        token.write_text("0" * 64)
        wrong = ray_al(named, "run", folder / "c.yaml", "--out", folder / "wrong")
        token.unlink()
        missing = ray_al(named, "run", folder / "c.yaml", "--out", folder / "missing")
        for refused in (wrong, missing):
            assert refused.returncode == 1
            assert "token" in refused.stderr.splitlines()[-1]
            assert "Traceback" not in refused.stderr
        assert not (folder / "wrong").exists()
        assert not (folder / "missing").exists()
    finally:
        head.terminate()
        head.wait(30)

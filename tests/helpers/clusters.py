"""What the tests of whole commands share."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from helpers.paths import python_path

PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
)
CONFIG = """
name: small
data: {{dataset: synthetic, root: {root}, image_size: [32, 48]}}
regions: {{rows: 2, columns: 2}}
train: {{steps: 3, batch_size: 2, workers: 0, threads: 1}}
strategy: {{acquisition: equal, batch: {{kind: power}}}}
scoring: {{workers: 1, threads: 1, batch_size: 2, precision: fp32, shard_size: 2}}
budget: {{start: 4, per_cycle: 4, amount: 16}}
"""


def run_script(script: str, folder: Path, *, timeout: float, **variables: str) -> str:
    """Run Python code that starts a cluster of its own, and return what it prints.

    Args:
        script: the code, which finds the folder in `sys.argv`.
        timeout: seconds.
        variables: more variables of the process's environment.
    """
    env = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        **variables,
    }
    env.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

"""Commands that only read what is recorded load neither torch nor Ray, and are quick."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_al import api
from ray_al.core.storage import Storage
from ray_al.sweep.directory import read_trials, run_uri

HEAVY = ("torch", "ray")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The settings of a run of two cycles, with its images."""
    data = {
        "root": str(tmp_path_factory.mktemp("light") / "data"),
        "num_images": 4,
        "image_size": [32, 48],
    }
    return {
        "data": {"dataset": "synthetic", **data},
        "regions": {"rows": 2, "columns": 2},
        "train": {"steps": 1, "batch_size": 2, "workers": 0},
        "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32"},
        "budget": {"start": 2, "per_cycle": 2, "amount": 4},
        "cluster": {"host": "process"},
    }


@pytest.fixture(scope="module")
def run_dir(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run."""
    folder = tmp_path_factory.mktemp("light")
    return api.run(api.load_config(settings), str(folder / "run")).uri


@pytest.fixture(scope="module")
def sweep_dir(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sweep with two finished runs, made without Ray Tune."""
    folder = tmp_path_factory.mktemp("light")
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({"run": settings, "space": {"strategy.acquisition": ["ripu"]}}))
    storage = Storage(api.new_sweep(api.load_sweep(file), str(folder / "sweep")))
    for trial in read_trials(storage):
        api.run(trial.config, run_uri(storage.root, trial.name))
    return storage.root


def loaded_by(arguments: Sequence[str]) -> list[str]:
    """Run a command in a new process, and return the heavy packages that it loaded."""
    code = (
        "import sys; from ray_al.cli import main; "
        f"main({list(arguments)!r}, standalone_mode=False); "
        f"print('loaded:', *({set(HEAVY)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", ["status", "log", "report", "compare"])
def test_commands_that_read_load_neither_torch_nor_ray(
    command: str, run_dir: str, tmp_path: Path
) -> None:
    more = ["--out", str(tmp_path / "comparison")] if command == "compare" else []
    assert loaded_by([command, run_dir, *more]) == []


def test_the_reference_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from ray_al.cli import main; "
        "main(['config', '--json'], standalone_mode=False); "
        f"assert not {set(HEAVY)!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_deciding_loads_neither_torch_nor_ray() -> None:
    """Whoever asks what comes next need not load what carries it out."""
    code = (
        "import sys; from ray_al.core.config import parse_config; "
        "from ray_al.driver.decide import decide; from ray_al.ledger import State; "
        "print(decide(State(attempt=1), parse_config({}, source='test'))); "
        f"print('loaded:', *({set(HEAVY)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["Select(cycle=-1)", "loaded:"], done.stderr


@pytest.mark.parametrize("command", ["status", "compare"])
def test_commands_that_read_a_sweep_load_neither_torch_nor_ray(
    command: str, sweep_dir: str, tmp_path: Path
) -> None:
    more = ["--out", str(tmp_path / "comparison")] if command == "compare" else []
    assert loaded_by([command, sweep_dir, *more]) == []


def test_status_takes_little_time(run_dir: str) -> None:
    """CPU time of the whole process, the best of three."""
    seconds = []
    # Coverage, which would begin in the command too, takes longer than the command.
    bare = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "ray_al.cli", "status", run_dir]
        subprocess.run(command, check=True, capture_output=True, env=bare)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.7

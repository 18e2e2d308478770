"""Curves in other services, read back from them."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from helpers.compared import VALUES

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.driver.checks import check_config
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal, fold
from ray_al.report.rows import curve_rows


def run(folder, tracking):
    values = {
        **VALUES,
        "data": {"root": str(folder / "data"), **VALUES["data"]},
        "tracking": tracking,
    }
    uri = create_run(parse_config(values, source="test"), str(folder / "run"))
    run_loop(uri)
    run_loop(uri)  # a second host tells nothing twice
    return uri, [row["miou"] for row in curve_rows(fold(Journal(Storage(uri)).events))]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("mlflow")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder = tmp_path_factory.mktemp("mlflow")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{folder}/m.db",
    ]
    process = subprocess.Popen(
        [*command, "--default-artifact-root", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline, "the server did not start"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            break
        except OSError:
            time.sleep(0.3)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def read_back(uri, experiment):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return found, [
        metric.value
        for metric in sorted(
            client.get_metric_history(found.info.run_id, "miou"), key=lambda metric: metric.step
        )
    ]


@pytest.mark.slow
def test_a_run_in_an_mlflow_server(server, tmp_path):
    _, expected = run(tmp_path, {"mlflow": {"tracking_uri": server, "experiment": "single"}})
    found, values = read_back(server, "single")
    assert values == pytest.approx(expected)
    assert found.data.params["strategy.acquisition"] == "entropy"


def test_a_run_in_a_local_store(tmp_path):
    pytest.importorskip("mlflow")
    uri, expected = run(tmp_path, {"mlflow": {}})
    assert read_back(f"sqlite:///{uri}/mlflow.db", "ray_al")[1] == pytest.approx(expected)


def test_a_run_in_tensorboard_and_wandb_offline(tmp_path):
    pytest.importorskip("wandb")
    uri, expected = run(tmp_path, {"tensorboard": True, "wandb": {"mode": "offline"}})
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "run" / "tensorboard").glob("events*")
    )
    assert written.count(b"miou") >= len(expected)


def test_a_service_that_does_not_answer_stops_no_run(tmp_path, caplog):
    pytest.importorskip("mlflow")
    (tmp_path / "file").touch()
    _, expected = run(tmp_path, {"mlflow": {"tracking_uri": f"sqlite:///{tmp_path}/file/m.db"}})
    assert len(expected) == 3
    assert "tracking.mlflow: cycle 0 was not logged" in caplog.text


def test_a_missing_package_is_named_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    values = {
        **VALUES,
        "data": {"root": str(tmp_path / "data"), **VALUES["data"]},
        "tracking": {"wandb": {}},
    }
    with pytest.raises(ConfigError, match="pip install wandb"):
        check_config(parse_config(values, source="test"))

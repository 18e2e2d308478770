"""Whole runs without validation images, and with some drawn from the pool, without Ray."""

import csv
import json

import pytest
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.config import parse_config
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.fork import fork_run, start_config
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.predict.choose import choose_model


def configure(val_split, **train):
    values = {
        "data": {
            "dataset": "synthetic",
            "num_images": 8,
            "image_size": [32, 48],
            "val_split": val_split,
            "allow": ["missing_class"],
        },
        "model": {"name": "helpers.networks:linear"},
        "regions": {"kind": "grid", "rows": 2, "columns": 2},
        "train": {"steps": 4, "batch_size": 2, "threads": 1, **train},
        "scoring": {"workers": 0, "batch_size": 2, "threads": 1},
        "strategy": {"acquisition": "entropy"},
        "budget": {"start": 3, "per_cycle": 3, "amount": 6},
        "cluster": {"host": "process"},
    }
    return parse_config(values, source="test")


def command(*words):
    result = CliRunner().invoke(main, [*words], catch_exceptions=False)
    return result.exit_code, result.output


def rows_of(root):
    return list(csv.DictReader(Storage(root).read("curve.csv").decode().splitlines()))


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_every_command_works_without_validation_images(tmp_path):
    root = create_run(configure("none"), str(tmp_path / "run"))
    assert run_loop(root).kind == "finished"
    verify(root)
    assert [row["miou"] for row in rows_of(root)] == ["", ""]
    assert all(float(row["train_loss"]) > 0 for row in rows_of(root))
    code, text = command("status", root)
    assert code == 0 and "no validation images and so no mIoU, training loss" in text
    assert command("log", root)[0] == 0
    assert command("resume", root)[0] == 0
    code, text = command("final", root)
    assert code == 0 and "no validation images and so no mIoU" in text
    assert choose_model(root).origin == "final" and choose_model(root).miou is None
    assert choose_model(root, cycle=0).origin == "cycle 0"
    predicted = tmp_path / "predicted"
    images = tmp_path / "cache" / "ray_al"
    code, text = command("predict", root, str(images / "**/*.png"), "--out", str(predicted))
    assert code == 0 and "with the final model in" in text
    code, text = command("upper-bound", root, "--json")
    assert code == 0 and '"miou": null' in text
    assert command("report", root)[0] == 0
    page = Storage(root).read("report.html").decode()
    assert "training loss (no validation images)" in page
    assert "validation mIoU" not in page
    code, text = command("compare", root, "--out", str(tmp_path / "compared"))
    assert code == 2 and "no validation images" in text and "Traceback" not in text


def test_drawn_validation_images_stay_those_of_the_run(tmp_path):
    config = configure("30 %", keep="best", evaluate_every=2)
    root = create_run(config, str(tmp_path / "run"))
    created = json.loads(Storage(root).read("journal/00000000.json"))["data"]
    assert created["validation"]["path"] == "validation.parquet"
    assert "has_validation" not in created
    assert run_loop(root).kind == "finished"
    verify(root)
    for row in rows_of(root):
        assert float(row["miou"]) > 0 and row["kept_step"] in ("2", "4")
    Storage(root).remove("validation.parquet")
    code, text = command("verify", root)
    assert code == 1 and "validation.parquet" in text


def test_a_run_that_begins_with_another_one_has_its_validation_images(tmp_path):
    config = configure("30 %")
    source = create_run(start_config(config), str(tmp_path / "start"))
    run_loop(source)
    root = fork_run(source, config, str(tmp_path / "fork"))
    name = "validation.parquet"
    assert Storage(root).read(name) == Storage(source).read(name)
    assert run_loop(root).kind == "finished"
    verify(root)

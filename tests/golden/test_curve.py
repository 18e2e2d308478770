"""The curve of a tiny run, exact in what is labelled.

Its model has one convolution, which makes training a convex problem. A deep network that is trained
for few steps would turn the rounding of another processor into another curve.
"""

import csv

import pytest

from ray_al.core.config import parse_config
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop

EXACT = {
    "cycle": ["0", "1", "2"],
    "labelled_regions": ["10", "19", "29"],
    "labelled_pixels": ["7680", "14592", "22272"],
    "cost": ["10", "19", "29"],
}
MIOU = [0.266007, 0.268460, 0.330542]


def test_the_curve_of_a_tiny_run(tmp_path):
    values = {
        "data": {"root": str(tmp_path / "data"), "num_images": 12, "image_size": [48, 64]},
        "regions": {"rows": 4, "columns": 4},
        "model": {"name": "helpers.networks:linear"},
        "train": {"steps": 50, "batch_size": 4, "learning_rate": 0.05, "threads": 1},
        "strategy": {"acquisition": "equal"},
        "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32", "threads": 1},
        "budget": {"start": "5 %", "per_cycle": "5 %", "amount": "15 %"},
        "cluster": {"host": "process"},
    }
    run_loop(create_run(parse_config(values, source="golden"), str(tmp_path / "run")))
    rows = list(csv.DictReader((tmp_path / "run" / "curve.csv").open()))
    assert {name: [row[name] for row in rows] for name in EXACT} == EXACT
    assert [float(row["miou"]) for row in rows] == pytest.approx(MIOU, abs=0.003)

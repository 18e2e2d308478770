"""A sweep with an endpoint, compared from its runs and from its committed results; no Ray."""

import json
import shutil
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.code_version import code_digest
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.final import train_final
from ray_al.ledger import Journal
from ray_al.sweep.config import load_sweep
from ray_al.sweep.create import create_sweep
from ray_al.sweep.directory import read_trials, run_uri
from ray_al.sweep.trial import host_trial

RUN: dict[str, Any] = {
    "model": {"name": "helpers.networks:linear"},
    "data": {"dataset": "synthetic", "image_size": [24, 32]},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 1, "batch_size": 2, "threads": 1},
    "scoring": {"workers": 0, "threads": 1, "batch_size": 2, "precision": "fp32"},
    "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    "report": {"num_images": 0},
    "final": {"budgets": [8, 12], "repeats": 2, "train": {"steps": 2}},
}
SWEEP: dict[str, Any] = {
    "name": "told",
    "space": {"strategy.acquisition": ["entropy"]},
    "seeds": [10, 11],
    "reference": {
        "strategy.acquisition": "random",
        "strategy.batch.kind": "topk",
        "budget.amount": 16,
        "final.budgets": [4, 8, 12, 16],
    },
    "endpoint": {"budgets": [8, 12], "comparisons": [["entropy", "random"]]},
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    write_synthetic(str(folder / "data"), num_images=8, seed=0)
    run = {**RUN, "data": {**RUN["data"], "root": str(folder / "data")}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, "run": run}))
    place = create_sweep(load_sweep(str(folder / "sweep.yaml")), str(folder / "sweep"))
    for trial in read_trials(Storage(place)):
        host_trial(
            run_uri(place, trial.name), trial.config, start=None, rungs=[], report=lambda row: None
        )
    train_final(
        run_uri(place, read_trials(Storage(place))[0].name),
        "upper_bound",
        progress=lambda done, total: None,
        should_stop=lambda: False,
    )
    return place


def compared(*arguments):
    result = CliRunner().invoke(main, ["compare", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
def test_the_results_of_a_sweep_say_what_the_sweep_says(sweep, tmp_path):
    facts = compared(sweep, "--out", tmp_path / "one", "--export", tmp_path / "results")
    again = compared(tmp_path / "results", "--out", tmp_path / "two")
    assert facts["measure"] == again["measure"] == "final_miou"
    assert facts["endpoints"] == again["endpoints"]
    (row,) = facts["endpoints"][0]["comparisons"]
    assert row["seeds"] == [10, 11]
    events = Journal(Storage(run_uri(sweep, "entropy-seed10"))).events
    scores = [event.data["miou"] for event in events if event.kind == "models_measured"]
    assert facts["endpoints"][0]["scores"]["entropy"]["10"] == pytest.approx(sum(scores) / 2)
    for group, other in zip(facts["groups"], again["groups"], strict=True):
        assert group["final"] == pytest.approx(other["final"])
        assert group["saved"] == other["saved"] or group["saved"]["target"] == pytest.approx(
            other["saved"]["target"]
        )
    assert [len(group["curves"]["share"]["x"]) for group in facts["groups"]] == [4, 2]
    assert facts["groups"][1]["saved"]["forward"]
    assert (
        json.loads((tmp_path / "results/runs/entropy-seed10.json").read_text())["code"]
        == code_digest()
    )
    received = [event.data["num_images"] for event in events if event.kind == "labels_received"]
    assert (
        json.loads((tmp_path / "results/runs/entropy-seed10.json").read_text())["visits"][-1]
        == sum(received)
        > 0
    )
    costs = compared(tmp_path / "results", "--by", "cost", "--out", tmp_path / "three")
    assert {row["share"] for row in costs["rows"]} == {0.8, 0.9, 0.95}


@pytest.mark.slow
def test_seeds_that_are_not_finished_are_left_out_of_results(sweep, tmp_path):
    shutil.copytree(sweep, tmp_path / "sweep")
    shutil.rmtree(tmp_path / "sweep/runs/entropy-seed11")
    facts = compared(tmp_path / "sweep", "--export", tmp_path / "results")
    assert [name for name in facts["exported"] if name.endswith(".csv")] == [
        f"runs/{name}.csv"
        for name in ("entropy-seed10", "random-topk-seed10", "random-topk-seed11")
    ]

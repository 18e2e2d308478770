"""The checks before a run are one ordered list, which runs, sweeps and changed settings share."""

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.driver import checks, settings
from ray_al.driver.create import create_run
from ray_al.sweep.config import load_sweep
from ray_al.sweep.create import create_sweep
from ray_al.sweep.plan import plan_trials

pytestmark = pytest.mark.usefixtures("own_cache")

FAULTS: dict[str, Any] = {
    "strategy": (
        {"strategy": {"acquisition": "entropy", "offer": {"kind": "top_share"}}},
        "every region is scored",
    ),
    "budget": ({"budget": {"amount": 10_000, "start": 1, "per_cycle": 1}}, "than the pool's"),
}
BASE: dict[str, Any] = {
    "data": {"num_images": 4, "image_size": [32, 32]},
    "cluster": {"host": "process"},
    "scoring": {"workers": 0},
}


def error_of(call):
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_and_a_sweep_find_the_same_fault(fault, tmp_path):
    changes, words = FAULTS[fault]
    values = {**BASE, **changes}
    config, out = parse_config(values, source="test"), tmp_path / "out"
    found = error_of(lambda: create_run(config, str(out)))
    assert words in found
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(yaml.safe_dump({"run": values, "space": {"train.steps": [2]}, "seeds": [0]}))
    assert found in error_of(lambda: plan_trials(load_sweep(str(sweep))))
    assert not out.exists()


SWEEP_FAULTS = {
    "first rung": (
        {"scheduler": {"kind": "asha", "first": 0.05}},
        "scheduler.first=0.05: trial random-topk-seed0 starts with budget.start=0.5",
    ),
    "endpoint": (
        {"endpoint": {"comparisons": [["margin", "random"]], "budget": 1.0}},
        "endpoint",
    ),
    "trackers": ({"run": {**BASE, "tracking": {"mlflow": "nowhere://x"}}}, "nowhere://x"),
    "strategy": ({"run": {**BASE, **FAULTS["strategy"][0]}}, FAULTS["strategy"][1]),
}


@pytest.mark.parametrize("fault", SWEEP_FAULTS)
def test_a_dry_run_finds_the_faults_that_creating_a_sweep_finds(fault, tmp_path):
    changes, words = SWEEP_FAULTS[fault]
    run = {**BASE, "budget": {"start": 0.5, "per_cycle": 0.1, "amount": 1.0}}
    values = {"name": "s", "run": run, "space": {"train.steps": [2]}, "seeds": [0], **changes}
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(values))
    found = error_of(lambda: create_sweep(load_sweep(str(file)), str(out)))
    assert words in found
    result = CliRunner().invoke(main, ["sweep", str(file), "--dry-run"])
    assert (result.exit_code, result.stderr) == (2, f"error: {found}\n")
    assert not out.exists()


def test_a_dry_run_refuses_a_place_that_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.yaml").touch()
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({"run": BASE, "space": {"train.steps": [2]}, "seeds": [0]}))
    out = str(tmp_path / "out")
    found = error_of(lambda: create_sweep(load_sweep(str(file)), out))
    result = CliRunner().invoke(main, ["sweep", str(file), "--dry-run", "--out", out])
    assert (result.exit_code, result.stderr) == (2, f"error: {found}\n")


def test_the_first_fault_of_the_list_is_the_one_that_is_found(tmp_path):
    values = {**BASE, **FAULTS["strategy"][0], **FAULTS["budget"][0]}
    config = parse_config(values, source="test")
    found = error_of(lambda: create_run(config, str(tmp_path / "out")))
    assert FAULTS["strategy"][1] in found


def test_checks_are_made_in_the_order_of_the_lists(monkeypatch):
    made = []
    expected = []
    for name in ("SETTINGS_CHECKS", "DATASET_CHECKS"):
        recorders = []
        for place in range(len(getattr(checks, name))):
            expected.append((name, place))
            recorders.append(lambda *given, key=(name, place): made.append(key))
        monkeypatch.setattr(checks, name, tuple(recorders))
    checks.check_config(parse_config(BASE, source="test"))
    assert made == expected


def test_changed_settings_pass_the_same_checks():
    assert vars(settings)["SETTINGS_CHECKS"] is checks.SETTINGS_CHECKS

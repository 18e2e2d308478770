"""The checks before a run are one ordered list, which runs, sweeps and changed settings share."""

import pytest
import yaml
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.config import parse_config
from ray_al.driver import checks, settings

FAULTS = {
    "strategy": ({"strategy": {"score": "random", "lazy": {}}}, "looks at no image"),
    "budget": ({"budget": {"amount": 10_000, "start": 1, "per_cycle": 1}}, "than the pool's"),
}
BASE = {
    "data": {"num_images": 4, "image_size": [32, 32]},
    "cluster": {"host": "process"},
    "score": {"workers": 0},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def error_of(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_run_sweep_and_dry_run_find_the_same_fault(fault, tmp_path):
    changes, words = FAULTS[fault]
    run, sweep = tmp_path / "run.yaml", tmp_path / "sweep.yaml"
    values = {**BASE, **changes}
    run.write_text(yaml.safe_dump(values))
    sweep.write_text(yaml.safe_dump({"run": values, "space": {"train.steps": [2]}, "seeds": [0]}))
    out = str(tmp_path / "out")
    found = error_of("run", str(run), "--out", out)
    message = found.partition(": ")[2].strip()
    assert words in message
    for options in ([], ["--dry-run"]):
        assert message in error_of("sweep", str(sweep), "--out", out, *options)
    assert not (tmp_path / "out").exists()


def test_the_first_fault_of_the_list_is_the_one_that_is_found(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**BASE, **FAULTS["strategy"][0], **FAULTS["budget"][0]}))
    assert FAULTS["strategy"][1] in error_of("run", str(path), "--out", str(tmp_path / "out"))


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
    assert settings.SETTINGS_CHECKS is checks.SETTINGS_CHECKS

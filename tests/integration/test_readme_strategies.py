"""The README's table of strategies: each row is a configuration, and runs."""

import re
from typing import Any

import pytest
import yaml
from helpers.paths import ROOT
from helpers.strategies import SETTINGS

from ray_al.core.config import parse_config
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.check_strategy import check_strategy
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold

README = (ROOT / "ray_al/acquisition/README.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| `(strategy: [^`]+)` \|$", README, re.MULTILINE)
BUDGETS: dict[str, Any] = {
    "pixels": {"start": 20, "per_cycle": 20, "amount": 40},
    "windows": {"start": 20, "per_cycle": 20, "amount": 40},
    "superpixels": {"unit": "clicks", "start": 60, "per_cycle": 60, "amount": 120},
    "image": {"unit": "images", "start": 2, "per_cycle": 2, "amount": 4},
    "grid": {"start": 4, "per_cycle": 4, "amount": 8},
}


def test_there_are_as_many_as_the_readme_says():
    (claimed,) = re.findall(r"settings of (\d+) published strategies", README)
    assert len(ROWS) == len({settings for _, settings in ROWS}) == int(claimed)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("readme")
    write_synthetic(str(root / "data"), num_images=8, seed=0)
    return root


def configure(root, settings):
    values = yaml.safe_load(f"{{{settings}}}")
    regions = dict(values.get("regions", {"rows": 2, "columns": 2}))
    if regions.get("kind") == "superpixels":
        regions["count"] = 30
    changed = {
        "data": {**SETTINGS["data"], "root": str(root / "data")},
        "train": {**SETTINGS["train"], "steps": 6, **values.get("train", {})},
        "regions": regions,
        "budget": BUDGETS[regions.get("kind", "grid")],
    }
    return parse_config({**SETTINGS, **values, **changed}, source="README.md")


def assert_holds(values, written):
    """Each setting in the file has its value among `values`, which also hold all defaults."""
    for key, value in written.items():
        if isinstance(value, dict):
            assert_holds(values[key], value)
        else:
            assert values[key] == value, key


@pytest.mark.parametrize(
    "settings", [settings for _, settings in ROWS], ids=[name for name, _ in ROWS]
)
def test_a_row_is_a_configuration_that_fits_together(root, settings):
    config = configure(root, settings)
    check_strategy(config, 5)
    for section in ("strategy", "label"):
        written = yaml.safe_load(f"{{{settings}}}").get(section, {})
        assert_holds(config.model_dump(mode="json")[section], written)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [settings for _, settings in ROWS], ids=[name for name, _ in ROWS]
)
def test_a_row_runs(root, tmp_path, settings):
    run = create_run(configure(root, settings), str(tmp_path / "run"))
    assert run_loop(run).kind == "finished"
    state = fold(Journal(Storage(run)).events)
    assert verify(run)["labelled_regions"] == state.labelled_regions > 0
    assert max(query.cycle for query in state.queries) >= 0

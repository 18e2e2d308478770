"""Spaces and searches of a sweep file that do not fit are refused with the remedy."""

import re
from pathlib import Path
from typing import Any

import pytest

from ray_al.core.errors import ConfigError
from ray_al.core.validation import validate
from ray_al.sweep.config import SweepConfig, load_sweep

GRID: dict[str, Any] = {"strategy.acquisition": ["entropy", "margin"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"space": {"seed": [0, 1]}}, "space.seed: seeds are not a setting; list them under"),
        (
            {"search": {"kind": "random", "trials": 2}, "space": GRID},
            "search.kind=random: .*nothing to draw",
        ),
        (
            {"search": {"kind": "random", "trials": 2}, "space": {}},
            "search.kind=random: .*nothing to draw",
        ),
        (
            {"search": {"kind": "optuna", "trials": 2}, "space": GRID},
            "space.strategy.acquisition: search.kind=optuna chooses itself; write {choice",
        ),
        (
            {"search": {"kind": "optuna", "trials": 2}, "space": {}},
            "search.kind=optuna: the space is empty",
        ),
    ],
)
def test_a_space_that_the_search_cannot_use(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(SweepConfig, values, source="sweep.yaml")


@pytest.mark.parametrize(
    ("override", "key"), [("seed=7", "'seeds'"), ("seeds=[7]", "'seeds'"), ("limits.at_once=1", "")]
)
def test_set_does_not_reach_keys_of_the_sweep_file(tmp_path: Path, override: str, key: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: s\nspace: {strategy.acquisition: [entropy]}\nseeds: [0]\n")
    words = f"--set {override}: --set changes settings of the runs; {key}"
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_sweep(str(file), [override])


def test_places_in_a_space_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "name: s\nspace: {data.root: [d, /e], model.weights: [none, w.pth], train.steps: [1, 2]}\n"
        "reference: {data.root: d}\n"
    )
    sweep = load_sweep(str(file))
    assert sweep.space["data.root"].values == (str(tmp_path / "d"), "/e")
    assert sweep.space["model.weights"].values == ("none", str(tmp_path / "w.pth"))
    assert sweep.space["train.steps"].values == (1, 2)
    assert sweep.reference == {"data.root": str(tmp_path / "d")}

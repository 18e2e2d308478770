"""Spaces and searches of a sweep file that do not fit are refused with the remedy."""

from typing import Any

import pytest

from ray_al.core.errors import ConfigError
from ray_al.core.validation import validate
from ray_al.sweep.config import SweepConfig

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

"""Runs that cannot be compared, and options that do not fit them, are refused."""

import pytest
from helpers.made_up_runs import made_up, made_up_group

from ray_al.compare.by_budget import common_grid, compare, find_reference
from ray_al.compare.grouping import choose_measure, group_runs
from ray_al.core.errors import ConfigError

SCORES = [0.3, 0.4, 0.5]


def test_two_runs_with_the_same_settings_and_seed() -> None:
    runs = [made_up([50, 100, 200], SCORES, uri=uri) for uri in ("one", "two")]
    with pytest.raises(ConfigError, match="one and two: the same settings with the same seed 0"):
        group_runs(runs, varied=set())


def test_runs_none_of_which_is_finished() -> None:
    run = made_up([50, 100, 200], SCORES, uri="begun", finished=False)
    with pytest.raises(ConfigError, match="no run can be compared.*begun: not finished: 8.00 %"):
        group_runs([run], varied=set())


def test_measured_models_of_a_run_without_them() -> None:
    runs = [made_up([50, 100, 200], SCORES, uri="bare", measured=())]
    with pytest.raises(ConfigError, match="--measure final_miou: bare has no measured models"):
        choose_measure(runs, "final_miou")
    assert choose_measure(runs, None) == ("miou", runs)


def test_curves_without_a_common_budget() -> None:
    groups = [
        made_up_group(name, lambda budget: 0.5, budgets)
        for name, budgets in {"low": [50, 100], "high": [200, 400]}.items()
    ]
    with pytest.raises(ConfigError, match="no budget in common: one starts at 0.08, another ends"):
        common_grid(groups, "share")


def test_a_budget_that_the_curves_do_not_reach() -> None:
    runs = [
        made_up([50, 100, 200], SCORES, uri=f"{score}{seed}", score=score, seed=seed)
        for score in ("random", "entropy")
        for seed in (0, 1)
    ]
    with pytest.raises(ConfigError, match="--at 0.9: the runs' common budgets go from 0.02 to"):
        compare(group_runs(runs, varied=set()), at=[0.9])


def test_a_reference_that_is_not_there() -> None:
    group = made_up_group("random", lambda budget: 0.5, [50, 100])
    assert find_reference([group], "random") is group
    with pytest.raises(ConfigError, match="--reference 'rand': no such strategy; there are random"):
        find_reference([group], "rand")


def test_runs_with_and_without_a_section_are_apart() -> None:
    """A section whose settings are the same wherever it is set, and null elsewhere."""
    sections = (
        {"strategy.label_time": None},
        {"strategy.label_time.image": 5.0, "strategy.label_time.click": 0.7},
    )
    runs = [
        made_up([100, 200], [0.4, 0.5], seed=seed, score="bvsb", values=section)
        for seed in range(2)
        for section in sections
    ]
    grouped = group_runs(runs, varied={"strategy.label_time"})
    assert sorted(len(group.runs) for group in grouped.groups) == [2, 2]
    assert sorted(group.label for group in grouped.groups) == ["base", "click0.7-image5.0"]


@pytest.mark.parametrize("other_seeds", [0, 2])
@pytest.mark.parametrize(
    ("word", "section"),
    [
        ({"train.loss": "cross_entropy"}, {"train.loss.kind": "dice"}),
        ({"train.steps": 100}, {"train.steps.max": 300, "train.steps.window": 50}),
        ({}, {"strategy.label_time.image": 5.0}),  # exported before there was such a setting
    ],
)
def test_a_word_and_a_section_are_two_settings(
    word: dict[str, object], section: dict[str, object], other_seeds: int
) -> None:
    runs = [
        made_up([100, 200], [0.4, 0.5], seed=seed, score="bvsb", values=values)
        for values, first in ((word, 0), (section, other_seeds))
        for seed in range(first, first + 2)
    ]
    groups = group_runs(runs, varied={"train.loss", "train.steps", "strategy.label_time"}).groups
    assert [len(group.runs) for group in groups] == [2, 2]
    assert len({group.label for group in groups}) == 2

"""Settings that are right alone, and cannot work together, are refused with the remedy."""

from typing import Any

import pytest

from ray_al.acquisition import ACQUISITIONS
from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import ConfigError
from ray_al.driver.check_strategy import check_scores
from ray_al.train.checks import check_train


def configure(**values: Any) -> RunConfig:
    return parse_config(values, source="test")


@pytest.mark.parametrize(
    ("start_rule", "changes", "words"),
    [
        ("class_aware", {"regions": {"kind": "pixels"}}, "regions.kind='pixels'.*; use random"),
        ("typicality", {"model": {"weights": "none"}}, "features of the untrained model"),
    ],
)
def test_a_start_rule(start_rule: str, changes: dict[str, Any], words: str) -> None:
    config = configure(budget={"start_rule": start_rule}, **changes)
    with pytest.raises(ConfigError, match=f"budget.start_rule='{start_rule}'.*{words}"):
        config.budget.start_rule.check(config)


def test_class_weights_of_labels_with_several_classes() -> None:
    config = configure(label={"kind": "classes"}, train={"class_weights": "balanced"})
    with pytest.raises(ConfigError, match="train.class_weights: not with label.kind='classes'"):
        config.label.check(config, 6)


def test_an_aggregation_of_scores_that_add_up_by_class() -> None:
    for name, function in ACQUISITIONS.items():
        if function.attribution in ("hard", "soft"):
            config = configure(strategy={"acquisition": name, "aggregation": "max"})
            with pytest.raises(ConfigError, match="'max': .*adds up means by class; leave it at"):
                check_scores(config, function)


def test_an_aggregation_of_pixels() -> None:
    config = configure(
        strategy={"acquisition": "entropy", "aggregation": "max"}, regions={"kind": "pixels"}
    )
    with pytest.raises(ConfigError, match="aggregation='max': for regions.kind='pixels'"):
        check_scores(config, ACQUISITIONS["entropy"])


def test_a_number_of_workers_whose_minimum_is_above_its_maximum() -> None:
    with pytest.raises(ConfigError, match=r"train.workers: \[3, 1\].*swap them"):
        check_train(configure(train={"workers": [3, 1]}))

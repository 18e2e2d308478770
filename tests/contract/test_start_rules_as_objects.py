"""Every start rule, found through its family, and one of a user's own keep the same promises."""

import numpy as np
import pytest
from helpers.bench import Bench
from helpers.own_variants import own

from ray_al.core.config import apply_setting, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.batch import BATCH_RULES
from ray_al.core.families.start import START_RULES
from ray_al.core.strategy import StrategyConfig
from ray_al.core.types import SEED_CYCLE, START_CYCLE
from ray_al.driver.cycles import first_cycle, needs_model
from ray_al.driver.select_query import select_query

OWN = "helpers.own_batch_rules:ReversedStart"
ALL = [*START_RULES.kinds, OWN, *own("budget.start_rule")]
LATER = StrategyConfig.model_validate(
    {
        "acquisition": "bvsb",
        "batch": {"kind": "power"},
        "per_image": 3,
        "skip_void_by_ground_truth": True,
    }
)


def config_of(rule):
    return parse_config(
        {"budget": {"start_rule": rule, "start": 12, "per_cycle": 5, "amount": 100}}, source="test"
    )


@pytest.mark.parametrize("kind", ALL)
def test_a_word_means_the_kind_alone(kind):
    rule = START_RULES.parse(kind)
    assert rule == START_RULES.parse({"kind": kind})
    config = config_of(kind)
    assert config.budget.start_rule == rule
    assert parse_config(config.model_dump(mode="json"), source="test") == config
    assert rule.paper


def test_a_rule_without_settings_is_written_as_a_word():
    written = {
        kind: config_of(kind).model_dump(mode="json")["budget"]["start_rule"]
        for kind in (*START_RULES.kinds, OWN)
    }
    words = {"random", "scored", "equal_per_image", OWN}
    assert all((value == kind) == (kind in words) for kind, value in written.items())
    assert written["class_aware"] == {"kind": "class_aware", "seed_share": 0.5}


@pytest.mark.parametrize("kind", ALL)
def test_the_strategy_of_the_start_set_keeps_what_all_strategies_share(kind):
    rule = START_RULES.parse(kind)
    strategy = rule.strategy(LATER)
    assert strategy.skip_void_by_ground_truth
    assert (strategy == LATER) == rule.follows_strategy
    config = config_of(kind).model_copy(update={"strategy": LATER})
    assert config.strategy_at(START_CYCLE) == strategy
    assert config.strategy_at(SEED_CYCLE) == StrategyConfig(
        acquisition="random", skip_void_by_ground_truth=True
    )
    assert config.strategy_at(0) == LATER


@pytest.mark.parametrize("kind", ALL)
def test_a_seed_part_comes_first_and_needs_no_model(kind):
    config, rule = config_of(kind), START_RULES.parse(kind)
    assert (first_cycle(config) == SEED_CYCLE) == (0 < rule.seed_part < 1)
    assert not needs_model(config, SEED_CYCLE)
    assert needs_model(config, START_CYCLE) == rule.needs_model


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in ALL
        if not START_RULES.find(kind).takes_existing
        and (not START_RULES.find(kind).needs_model or START_RULES.parse(kind).seed_part)
    ],
)
def test_a_rule_without_a_model_ranks_the_pool(kind):
    """The ranking for many begins with that for few, and holds only what may be chosen."""
    rule = START_RULES.parse(kind)
    cycle = SEED_CYCLE if rule.seed_part else START_CYCLE
    pool = Bench({"budget": {"start_rule": kind, "start": 12, "per_cycle": 5, "amount": 100}})
    remaining = np.arange(30 * 16) % 3 > 0
    ranked = [
        rule.rank(pool.pool.manifest, pool.pool.kind, k=k, seed=4, cycle=cycle, remaining=remaining)
        for k in (9, 40)
    ]
    names = [
        list(zip(one["image_index"].to_pylist(), one["region"].to_pylist(), strict=True))
        for one in ranked
    ]
    assert names[1][:9] == names[0] and len(set(names[1])) == 40
    assert all(remaining[16 * index + region] for index, region in names[1])


def test_a_start_set_is_chosen_by_a_rule_of_ones_own(monkeypatch):
    chosen = {}
    for kind in ("random", OWN):
        pool = Bench({"budget": {"start_rule": kind, "start": 12, "per_cycle": 5, "amount": 100}})
        monkeypatch.setattr("ray_al.driver.quarantine.read_pool_image", pool.read_image)
        query = select_query(pool, START_CYCLE, 12)
        chosen[kind] = (
            query["reason"].to_pylist(),
            set(zip(query["image_id"].to_pylist(), query["region"].to_pylist(), strict=True)),
        )
    assert chosen[OWN][0] == ["reversed"] * 12
    assert not chosen[OWN][1] & chosen["random"][1]


@pytest.mark.parametrize(
    ("kind", "settings", "batch"),
    [
        (
            "kcenter",
            {"candidates": 7, "tolerance": 0.1},
            {"kind": "kcenter", "candidates": 7, "tolerance": 0.1},
        ),
        (
            "centroids",
            {"components": 3, "iterations": 2},
            {"kind": "centroids", "components": 3, "iterations": 2, "factor": None},
        ),
        (
            "typicality",
            {"clusters": 9, "neighbours": 4, "min_size": 1},
            {"kind": "typiclust", "clusters": 9, "neighbours": 4, "min_size": 1},
        ),
    ],
)
def test_a_rule_on_features_is_a_batch_rule_with_its_settings(kind, settings, batch):
    strategy = START_RULES.parse({"kind": kind, **settings}).strategy(LATER)
    assert strategy.acquisition == "random"
    assert strategy.batch == BATCH_RULES.parse(batch)
    assert strategy.feature_layer == (None if kind == "kcenter" else "backbone_maps")
    named = LATER.model_copy(update={"feature_layer": "body"})
    assert START_RULES.parse(kind).strategy(named).feature_layer == "body"


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"start_rule": "centroid"}, ["budget.start_rule", "did you mean 'centroids'"]),
        (
            {"start_rule": {"kind": "random", "candidates": 3}},
            ["budget.start_rule.candidates", "'kcenter'", "'random'"],
        ),
        (
            {"start_rule": {"kind": "class_aware", "seed_share": 1}},
            ["budget.start_rule.seed_share"],
        ),
        ({"seed_share": 0.5}, ["budget.seed_share", "budget.start_rule", "'class_aware'"]),
        ({"start_rule": "helpers.own_batch_rules:Spread"}, ["budget.start_rule", "StartRule"]),
    ],
)
def test_what_is_no_start_rule_is_refused(budget, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"budget": budget}, source="test")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_setting_may_be_given_to_a_rule_that_is_a_word():
    values = {"budget": {"start_rule": "kcenter"}}
    apply_setting(values, "budget.start_rule.candidates", 30)
    assert values["budget"]["start_rule"] == {"kind": "kcenter", "candidates": 30}
    apply_setting(values, "budget.start_rule.kind", "centroids")
    assert values["budget"]["start_rule"] == {"kind": "centroids", "candidates": 30}
    apply_setting(values, "budget.start_rule", "scored")
    assert values["budget"]["start_rule"] == "scored"

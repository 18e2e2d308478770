"""Every batch rule, found through its family, and rules of a user's own keep the same promises."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.bench import Bench
from helpers.own_variants import own
from helpers.paths import ROOT
from helpers.scored_parts import names

from ray_al.acquisition import ACQUISITIONS, find_acquisition
from ray_al.core.config import apply_setting, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.batch import BATCH_RULES, Moment
from ray_al.core.families.start import START_RULES
from ray_al.core.section import Section
from ray_al.driver.check_strategy import check_scores
from ray_al.select.rules import CandidateRule, KeyedRule

OWN = ["helpers.own_batch_rules:SmallFirst", "helpers.own_batch_rules:Spread"]
ALL = [*BATCH_RULES.kinds, *OWN, *own("strategy.batch")]
SETTINGS: dict[str, Any] = {
    "power": {"beta": 3.0, "schedule": "exponential", "growth": 7.0},
    "softmax": {"beta": 3.0},
    "softrank": {"beta": 3.0, "candidates": 60},
    "kcenter": {"tolerance": 0.5},
    "clue": {"iterations": 0},
    "kmeans": {"iterations": 0},
    "maxherding": {"points": 20, "width": 0.5},
    "redal": {"clusters": 3, "decay": 0.1, "iterations": 2},
    "typiclust": {"clusters": 3, "neighbours": 2, "min_size": 40, "iterations": 2},
    "centroids": {"factor": 2.0, "components": 2, "iterations": 3},
    "two_stage": {"keep": 0.1, "block": 100, "width_factor": 0.5},
    "class_split": {"share_by_class": 0.0},
    "stratified": {"min_cover": 0.9},
    "helpers.own_batch_rules:SmallFirst": {"power": 0.01},
}
"""Settings of each kind that change its choice, beside `candidates`."""


def score_for(rule):
    return "clasp" if rule.reads_class_scores else "entropy"


def bench(kind, **settings):
    rule = BATCH_RULES.parse({"kind": kind})
    strategy = {"acquisition": score_for(rule), "batch": {"kind": kind, **settings}}
    budget = {"start": 5, "per_cycle": 5, "amount": 100}
    return Bench({"strategy": strategy, "budget": budget}, sizes="mixed")


@pytest.mark.parametrize("kind", ALL)
def test_a_rule_is_its_settings(kind):
    rule = BATCH_RULES.parse({"kind": kind})
    assert isinstance(rule, Section) and rule.kind == kind
    assert BATCH_RULES.parse(rule.model_dump(mode="json")) == rule
    assert rule.paper and rule.needs
    assert rule.num_candidates(10) is None or rule.num_candidates(10) >= 10


@pytest.mark.parametrize("kind", ALL)
def test_a_query_is_chosen(kind):
    """So many regions, none twice, the same each time, each with the rule's name."""
    query = bench(kind).choose(12)
    assert len(set(names(query))) == len(query) == 12
    assert set(query["reason"].to_pylist()) == {kind}
    assert names(bench(kind).choose(12)) == names(query)


def test_settings_are_listed_for_every_kind_that_has_some():
    with_settings = {
        kind
        for kind in (*BATCH_RULES.kinds, *OWN)
        if BATCH_RULES.find(kind).model_fields.keys() - {"kind", "candidates"}
    }
    assert set(SETTINGS) == with_settings


def test_the_readme_names_every_kind_and_setting():
    readme = (ROOT / "ray_al/acquisition/README.md").read_text()
    for family in (BATCH_RULES, START_RULES):
        for kind in family.kinds:
            assert f"`{kind}`" in readme
            for setting in family.find(kind).model_fields.keys() - {"kind"}:
                assert f"`{setting}`" in readme or f"{setting}: " in readme, f"{kind}: {setting}"


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_reaches_the_rule(monkeypatch, kind):
    monkeypatch.setattr("ray_al.select.kcenter.POOL", 16)
    assert names(bench(kind, **SETTINGS[kind]).choose(30)) != names(bench(kind).choose(30))


@pytest.mark.parametrize("kind", ["class_split", "helpers.own_batch_rules:Spread"])
def test_no_more_than_the_candidates_are_chosen(kind):
    pool = bench(kind, candidates=12)
    pool.state = replace(
        pool.state, extracted={}
    )  # a feature pass would have settled which they are
    best = names(bench("topk").choose(12)) if kind != "class_split" else None
    chosen = names(pool.choose(30))
    assert len(chosen) == 12 and (best is None or set(chosen) == set(best))


@pytest.mark.parametrize("kind", ALL)
def test_a_rule_says_which_scores_it_cannot_take(kind):
    """... in words that name its key and itself, and a run is refused with them."""
    rule = BATCH_RULES.parse({"kind": kind})
    for score, function in ACQUISITIONS.items():
        config = parse_config(
            {"strategy": {"acquisition": score, "batch": {"kind": kind}}}, source="test"
        )
        problem = rule.why_not(score, function)
        if problem is None:
            check_scores(config, find_acquisition(score))
            continue
        assert (
            "strategy.batch.kind=" in problem and repr(kind) in problem and repr(score) in problem
        )
        with pytest.raises(ConfigError, match="use "):
            check_scores(config, find_acquisition(score))


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL if issubclass(BATCH_RULES.find(kind), KeyedRule)]
)
def test_keys_do_not_depend_on_the_part(kind):
    rule, pool = BATCH_RULES.parse({"kind": kind}), bench(kind)
    assert isinstance(rule, KeyedRule)
    part = pool.read_scores(pool.state.scores[0][0])
    keys = rule.keys(part, Moment(seed=3, cycle=1))
    assert keys.dtype == np.float64 and len(keys) == len(part)
    assert np.array_equal(keys[7:20], rule.keys(part.slice(7, 13), Moment(seed=3, cycle=1)))


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL if issubclass(BATCH_RULES.find(kind), CandidateRule)]
)
def test_a_shorter_answer_begins_a_longer_one_or_the_rule_says_so(kind):
    rule = BATCH_RULES.parse({"kind": kind})
    assert isinstance(rule, CandidateRule)
    few, many = names(bench(kind).choose(8)), names(bench(kind).choose(20))
    assert many[:8] == few or rule.depends_on_k


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"kind": "topk", "beta": 2}, ["strategy.batch.beta", "kind 'power'", "'topk'"]),
        (
            {"kind": "helpers.own_batch_rules:Spread", "keep": 0.5},
            ["strategy.batch.keep", "'two_stage'"],
        ),
        ({"kind": "helpers.own_batch_rules:NoFill"}, ["strategy.batch", "does not define fill"]),
        ({"kind": "helpers.own_batch_rules:ReversedStart"}, ["strategy.batch", "BatchRule"]),
        ({"kind": "helpers.own_batch_rules:Nowhere"}, ["strategy.batch", "Nowhere"]),
        ({"kind": "redal", "decay": 0}, ["strategy.batch.decay"]),
    ],
)
def test_what_is_no_rule_is_refused(batch, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"strategy": {"batch": batch}}, source="test")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_another_kind_keeps_the_settings_that_it_has_too():
    values = {"strategy": {"batch": {"kind": "power", "beta": 2, "growth": 5}}}
    apply_setting(values, "strategy.batch.kind", "softmax")
    assert values["strategy"]["batch"] == {"kind": "softmax", "beta": 2, "growth": 5}
    apply_setting(values, "strategy.batch", {"kind": "kcenter", "tolerance": 0})
    assert values["strategy"]["batch"] == {"kind": "kcenter", "tolerance": 0}
    apply_setting(values, "strategy.batch.beta", 2)
    with pytest.raises(ConfigError, match=r"strategy.batch.beta.*'kcenter'"):
        parse_config(values, source="test")

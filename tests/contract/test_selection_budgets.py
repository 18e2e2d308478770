"""Every batch rule, in every unit of budget, with filters on and off.

Scores and features are drawn, and the driver's own code chooses: no model, no Ray.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.bench import NUM_LABELLED, Bench
from helpers.scored_parts import names

from ray_al.acquisition import ACQUISITIONS
from ray_al.core.families.batch import BATCH_RULES
from ray_al.core.families.start import START_RULES
from ray_al.driver import quarantine, scored_pool, select_query
from ray_al.driver.actions import extract
from ray_al.driver.pool import read_table
from ray_al.select import fill, rules
from ray_al.select.softrank import SoftrankRule
from ray_al.select.stratified import StratifiedRule

GOLDEN = Path(__file__).parent / "queries.json"
QUERIES = json.loads(GOLDEN.read_text())
"""Digests of queries of `unit: regions`, by pool, rule, seed, filter and number of regions.

This file, run as a script, writes them again.
"""
VARIANTS = {kind: BATCH_RULES.parse({"kind": kind}) for kind in BATCH_RULES.kinds}
RULES = sorted(VARIANTS)
FILTERS: dict[str, Any] = {
    "none": {},
    "per_image": {"per_image": 1},
    "min_distance": {"min_distance": 60.0},
    "void": {"skip_void_by_ground_truth": True},
}
CELL, CAP, WANTED = 768, 100, 12
"""Pixels of a cell of the pool `equal`, clicks reserved for one, and regions in a query."""
PAYS = {
    "regions": WANTED,
    "pixels": WANTED * CELL + 100,
    "clicks": WANTED * CAP + 30,
}
"""What pays for as many regions in each unit, and a rest that pays for none."""


def bench(rule, unit="regions", filters=None, *, batch=None, label=None, score=None, **pool):
    strategy = {
        "acquisition": score or ("clasp" if rule == "class_split" else "entropy"),
        "batch": {"kind": rule, **(batch or {})},
        **(filters or {}),
    }
    budget = {"unit": unit, "start": 5, "per_cycle": 5, "amount": 100}
    values = {
        "seed": pool.get("seed", 0),
        "strategy": strategy,
        "budget": budget,
        "label": {"max_clicks": CAP, **(label or {})},
    }
    return Bench(values, **pool)


@pytest.fixture
def asked(monkeypatch):
    """How many regions rules were asked for, but for the fixed number that is ranked ahead."""
    monkeypatch.setattr(fill, "AHEAD_ROWS", 0)
    numbers = []
    asking = (
        (rules.KeyedRule, "rank"),
        (SoftrankRule, "rank"),
        (StratifiedRule, "rank"),
        (rules.CandidateRule, "choose_rows"),
    )
    for rule, name in asking:
        real = getattr(rule, name)
        monkeypatch.setattr(
            rule,
            name,
            lambda *given, real=real, **options: (
                numbers.append(options["k"]) or real(*given, **options)
            ),
        )
    return numbers


def digest(key):
    """What QUERIES holds of a key, chosen anew."""
    kind, rule, seed, name, number = key.split("-")
    query = bench(rule, filters=FILTERS[name], kind=kind, sizes="mixed", seed=int(seed)).choose(
        int(number)
    )
    rows = list(
        zip(
            *(query[name].to_pylist() for name in ("image_id", "region", "rank", "cost", "reason")),
            strict=True,
        )
    )
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize("case", sorted({key.rsplit("-", 2)[0] for key in QUERIES}))
def test_queries_in_regions_are_what_they_were(case):
    recorded = {key: value for key, value in QUERIES.items() if key.startswith(f"{case}-")}
    assert {key: digest(key) for key in recorded} == recorded


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("rule", RULES)
def test_the_same_choice_in_every_unit(asked, rule, name):
    """... of as many regions as are paid, and each time by as many questions."""
    found = {}
    for unit, amount in PAYS.items():
        asked.clear()
        query = bench(rule, unit, FILTERS[name]).choose(amount)
        assert sum(query["cost"].to_pylist()) == amount - (
            0 if unit == "regions" else amount % {"pixels": CELL, "clicks": CAP}[unit]
        )
        found[unit] = names(query), tuple(asked)
    assert len(set(found["regions"][0])) == WANTED
    assert found["regions"] == found["pixels"] == found["clicks"]
    ahead = 2 if name != "none" and getattr(VARIANTS[rule], "ranks_ahead", False) else 1
    assert found["regions"][1][0] == ahead * (WANTED + fill.ONE_MORE)
    assert len(asked) == 1 if name == "none" else sum(asked) <= 20 * WANTED


@pytest.mark.parametrize("rule", RULES)
def test_whole_images_are_chosen_as_regions_are(asked, rule):
    queries = []
    for unit, amount in (
        ("regions", WANTED),
        ("images", WANTED),
        ("pixels", WANTED * 96 * 128 + 5000),
        ("clicks", WANTED * CAP + 30),
    ):
        queries.append(names(bench(rule, unit, kind="image").choose(amount)))
    assert queries == [queries[0]] * 4
    assert asked == [WANTED + fill.ONE_MORE] * 4


@pytest.mark.parametrize(
    "rule",
    [rule for rule in RULES if VARIANTS[rule].why_not("random", ACQUISITIONS["random"]) is None],
)
def test_broken_images_are_made_up_for_in_every_unit(asked, monkeypatch, rule):
    """Where no scorer opened them: the query does, and asks for what they took away."""
    broken = (3, 11, 12, 20, 27)
    found = []
    for unit, amount in PAYS.items():
        pool = bench(rule, unit, score="random")
        pool.broken_images = set(broken)
        monkeypatch.setattr(quarantine, "read_pool_image", pool.read_image)
        asked.clear()
        found.append(names(pool.choose(amount)))
        assert not {f"i{index:04d}" for index in broken} & {image for image, _ in found[-1]}
        assert len(found[-1]) == WANTED
        assert sum(asked) <= 4 * (WANTED + 1)
    assert found == [found[0]] * 3


@pytest.mark.parametrize("unit", ["pixels", "clicks"])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("rule", RULES)
def test_an_amount_is_spent_to_the_last_region_that_fits(asked, rule, name, unit):
    """Cells of three sizes; of clicks, bounds that differ with the size."""
    pool = bench(rule, unit, FILTERS[name], sizes="mixed", label={"max_clicks": 5000})
    amount = 9999 if unit == "pixels" else 50_001
    query = pool.choose(amount)
    left = amount - sum(query["cost"].to_pylist())
    assert 0 <= left < amount / 10
    assert len(pool.rest(query, left, **FILTERS[name])) == 0
    assert len(set(names(query))) == len(query)
    assert sum(asked) <= 20 * len(query)
    assert max(asked) <= 10 * len(query)


@pytest.mark.parametrize("number", [6, 30])
@pytest.mark.parametrize("rule", RULES)
def test_what_a_query_in_regions_costs_pays_for_the_same_query_in_pixels(rule, number):
    """Cells of three sizes: how many are paid shows only once they are chosen."""
    amount = sum(bench(rule, sizes="mixed").choose(number)["num_pixels"].to_pylist())
    query = bench(rule, "pixels", sizes="mixed").choose(amount)
    # By another number of clusters, another number of regions may be all that is paid.
    assert abs(len(query) - number) <= getattr(VARIANTS[rule], "depends_on_k", False)
    assert sum(query["num_pixels"].to_pylist()) <= amount
    # The candidates of `centroids` change with the number: one region more may cost less, and the
    # search then finds another number.
    if rule != "centroids":
        assert names(query) == names(bench(rule, sizes="mixed").choose(len(query)))


@pytest.mark.parametrize("rule", RULES)
def test_images_are_opened_as_many_as_are_paid(asked, rule):
    """Of a grid: regions of an image that is open cost nothing."""
    pool = bench(rule, "images")
    query = pool.choose(6)
    opened = {0, 1}  # those of the labelled regions
    for image, cost in zip(
        query["image_index"].to_pylist(), query["cost"].to_pylist(), strict=True
    ):
        assert cost == (image not in opened)
        opened.add(image)
    assert len(opened) == 8
    assert query["cost"].to_pylist()[-1] == 1
    assert sum(asked) <= 12 * len(query)


@pytest.mark.parametrize("rule", RULES)
def test_a_rest_that_pays_for_nothing_asks_for_nothing(asked, rule):
    query = bench(rule, "pixels").choose(CELL - 1)
    assert (len(query), len(asked)) == (
        0,
        0 if isinstance(VARIANTS[rule], rules.CandidateRule) else 1,
    )


@pytest.mark.parametrize("candidates", [100, 100_000])
def test_what_counts_as_labelled_is_labelled(monkeypatch, candidates):
    """The feature pass described more regions than the labelled ones and present candidates."""
    pool = bench("kcenter", "clicks", batch={"candidates": candidates})
    first = pool.choose(PAYS["clicks"])
    pool.pool.mark_queried(first)
    seen = []
    real = vars(rules)["fill_from_candidates"]

    def watched(basket, given, *more, **options):
        seen.append(len(given.labelled))
        real(basket, given, *more, **options)

    monkeypatch.setattr(rules, "fill_from_candidates", watched)
    pool.choose(300)
    pool.pool.mark_labelled(first.slice(0, 4))
    pool.choose(300)
    assert seen == [NUM_LABELLED, NUM_LABELLED + 4]


def test_reading_scores_once_is_enough_where_all_regions_cost_the_same(monkeypatch):
    reads = []
    monkeypatch.setattr(
        scored_pool,
        "scored_parts",
        lambda *given, real=scored_pool.scored_parts: reads.append(given) or real(*given),
    )
    for rule in ("topk", "power", "softmax", "softrank"):
        reads.clear()
        bench(rule, "pixels").choose(PAYS["pixels"])
        assert len(reads) == 1


def test_the_start_set_is_the_same_in_every_unit(monkeypatch):
    for rule in ("random", "equal_per_image"):
        found = []
        for unit, amount in PAYS.items():
            pool = bench("topk", unit)
            budget = pool.config.budget.model_copy(update={"start_rule": START_RULES.parse(rule)})
            pool.config = pool.config.model_copy(update={"budget": budget})
            monkeypatch.setattr(quarantine, "read_pool_image", pool.read_image)
            found.append(names(select_query.select_query(pool, -1, amount)))
        assert found == [found[0]] * 3
        assert len(found[0]) == WANTED


def test_the_bench_holds_what_it_says():
    pool = bench("topk")
    assert (
        sum(len(read_table(pool.storage, ref)) for ref in pool.state.scores[0].values())
        == 30 * 16 - NUM_LABELLED
    )
    assert np.array_equal(pool.pool.labelled_numbers, np.arange(NUM_LABELLED))


def test_which_labelled_regions_are_described_is_drawn_by_region(monkeypatch):
    """If more fit, those with the lowest draws, whatever else is labelled."""
    pool = bench("kcenter")
    monkeypatch.setattr(extract, "MAX_LABELLED", 10)
    drawn = extract._labelled_numbers(pool, 0)
    assert len(drawn) == 10 and (np.diff(drawn) > 0).all()
    assert extract._labelled_numbers(pool, 1).tolist() != drawn.tolist()
    kept = drawn[::2]
    others = np.setdiff1d(np.arange(NUM_LABELLED), drawn)
    pool.pool.labelled_numbers = np.union1d(kept, others)
    assert np.isin(kept, extract._labelled_numbers(pool, 0)).all()


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({key: digest(key) for key in QUERIES}, indent=0) + "\n")

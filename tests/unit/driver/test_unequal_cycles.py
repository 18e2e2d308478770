"""`budget.per_cycle` as a list: one amount a cycle, of which the last one repeats."""

from dataclasses import asdict, replace

import pyarrow as pa
import pytest
from helpers.records import run_created

from ray_al.core.config import BudgetConfig, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.types import MANIFEST_SCHEMA, PoolSizes
from ray_al.driver.budget import check_budget, num_queries, planned_amount, whole_budget
from ray_al.driver.cycles import clicks_aim, num_passes, planned_clicks
from ray_al.ledger import State

POOL = PoolSizes(num_images=8, num_regions=1000, num_pixels=8 * 96 * 128)


def sizes(budget, pool=POOL):
    """What each query costs, until nothing is left."""
    left = whole_budget(budget, pool)
    found: list[int] = []
    while left > 0:
        found.append(planned_amount(budget, pool, len(found) - 1, left))
        left -= found[-1]
    return found


def budget(per_cycle, **values):
    given = {"start": "0.5 %", "amount": "5 %", **values, "per_cycle": per_cycle}
    return parse_config({"budget": given}, source="test").budget


@pytest.mark.parametrize(
    ("per_cycle", "found"),
    [
        (["0.5 %", "1 %", "3 %"], [5, 5, 10, 30]),
        ([5, 10, 30], [5, 5, 10, 30]),
        ([5, "1 %"], [5, 5, 10, 10, 10, 10]),  # the last one repeats
        ([5, 10, 30, 400], [5, 5, 10, 30]),  # what the budget does not come to
        ([5, 100], [5, 5, 40]),
        (["2 %"], [5, 20, 20, 5]),
        ("2 %", [5, 20, 20, 5]),
    ],
)
def test_cycles_end_where_the_list_says(per_cycle, found):
    assert sizes(budget(per_cycle)) == found


def test_rounding_adds_up_to_what_is_written():
    """367 regions, of which .5 % are 1.835: the totals are those of the exact shares."""
    found = sizes(budget(["0.5 %", "1 %", "3 %"]), replace(POOL, num_regions=367))
    totals = [sum(found[: count + 1]) for count in range(len(found))]
    assert totals == [2, 4, 7, 18]


def test_one_amount_stays_one_amount():
    assert BudgetConfig(per_cycle="2 %").model_dump(mode="json")["per_cycle"] == 0.02
    config = parse_config({"budget": {"per_cycle": ["0.5 %", 4]}}, source="test")
    dumped = config.model_dump(mode="json")
    assert dumped["budget"]["per_cycle"] == [0.005, 4]
    assert parse_config(dumped, source="again").budget == config.budget


@pytest.mark.parametrize(
    ("per_cycle", "parts"),
    [
        ([], ["budget.per_cycle", "at least one amount"]),
        (["1 %", "-2 %"], ["budget.per_cycle", "amount 2 of 2", "'-2 %'"]),
        ([1.5], ["amount 1 of 1", "a share lies between 0 and 1"]),
        ([True], ["true and false are not numbers"]),
        ([[0.1]], ["amount 1 of 1", "[0.1]", "give a whole number"]),
        ("much", ["budget.per_cycle", "give a whole number (a count) or a share"]),
    ],
)
def test_what_is_no_amount_is_refused(per_cycle, parts):
    with pytest.raises(ConfigError) as error:
        budget(per_cycle)
    assert all(part in str(error.value) for part in parts), error.value


def check(values):
    config = parse_config(
        {"regions": {"kind": "grid", "rows": 5, "columns": 5}, **values}, source="test"
    )
    rows = [
        {
            "image_index": i,
            "image_id": str(i),
            "image": "",
            "mask": "",
            "height": 96,
            "width": 128,
            "num_regions": 25,
        }
        for i in range(8)
    ]
    pool = replace(POOL, num_regions=200)
    check_budget(config, pool, pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), 3)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (
            {
                "strategy": {"per_image": 1},
                "budget": {"start": 4, "per_cycle": [4, 9], "amount": 50},
            },
            ["budget.per_cycle[1]: 9 regions", "strategy.per_image=1", "8 regions"],
        ),
        (
            {"budget": {"unit": "pixels", "start": 2000, "per_cycle": [2000, 10], "amount": 5000}},
            ["budget.per_cycle[1]: 10 pixels pay for no region"],
        ),
        (
            {
                "strategy": {"batch": {"kind": "kmeans", "candidates": 5}},
                "budget": {"start": 4, "per_cycle": [4, 6], "amount": 50},
            },
            ["strategy.batch.candidates=5", "budget.per_cycle[1]"],
        ),
    ],
)
def test_a_cycle_that_cannot_be_had_is_named(values, parts):
    with pytest.raises(ConfigError) as error:
        check(values)
    assert all(part in str(error.value) for part in parts), error.value


def test_amounts_beyond_the_budget_are_not_asked_for():
    check({"strategy": {"per_image": 1}, "budget": {"start": 4, "per_cycle": [4, 9], "amount": 8}})
    check({"strategy": {"per_image": 1}, "budget": {"start": 4, "per_cycle": [4, 9], "amount": 16}})


@pytest.mark.parametrize(
    ("per_cycle", "amount", "queries"),
    [
        (10, 50, 5),
        (20, 50, 3),
        ([5, 10, 30], 50, 3),
        ([5, 10], 50, 5),
        ([5, 10, 30], 12, 2),
        ([5, 10, 30], 6, 1),
    ],
)
def test_schedules_know_how_many_queries_there_are(per_cycle, amount, queries):
    given = budget(per_cycle, amount=amount)
    assert num_queries(given, POOL, amount) == queries


def test_passes_over_the_pool_are_counted_by_the_list():
    config = parse_config(
        {"budget": {"start": 5, "per_cycle": [5, 10, 30], "amount": 50}}, source="test"
    )
    assert num_passes(State(created=run_created(**asdict(POOL), amount=50), attempt=1), config) == 3


def test_clicks_that_ran_over_aim_at_the_plan_of_the_next_cycle():
    values = {"budget": {"unit": "clicks", "start": 10, "per_cycle": [10, 40], "amount": 200}}
    config = parse_config(values, source="test")
    state = State(created=run_created(**asdict(POOL), amount=200), attempt=1, spent=10)
    assert [planned_clicks(state, config, cycle) for cycle in (-1, 0, 1, 2)] == [10, 20, 60, 100]
    assert clicks_aim(state, config, 0) == 20
    over = State(created=run_created(**asdict(POOL), amount=200), attempt=1, spent=18)
    assert (
        clicks_aim(over, config, 0) == 60
    )  # 2 of its 10 clicks are left, so it aims at what is planned for cycle 1

"""Budgets in clicks, whose cost is known only once the labels are there.

A run's decisions and choices are its own; the cost of its labels is drawn.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.bench import Bench
from helpers.records import cycle_trained, features_extracted, pool_scored

from ray_al.driver import select_query
from ray_al.driver.actions.extract import Extract
from ray_al.driver.actions.label import Label
from ray_al.driver.actions.score import Score
from ray_al.driver.actions.select import Select
from ray_al.driver.actions.stop import Stop
from ray_al.driver.actions.train import Train
from ray_al.driver.costs import upper_bounds
from ray_al.driver.decide import decide
from ray_al.driver.pool import read_table
from ray_al.driver.scored_pool import scored_parts
from ray_al.ledger import Event, fold
from ray_al.ledger.records import LabelsReceived, QuerySelected

CAP, STEP = 100, 500


class Run(Bench):
    """A run after its start set is labelled: it decides and chooses as the driver does.

    Models and labels are only recorded, not made.
    """

    def __init__(
        self, amount, cost_of, *, start_spent=500, start_reserved=2000, step=STEP, **values
    ):
        budget = {"unit": "clicks", "start": step, "per_cycle": step, "amount": amount}
        super().__init__({"budget": budget, "label": {"max_clicks": CAP}, **values})
        start = replace(self.state.queries[0], cost=start_reserved, received_cost=start_spent)
        scores = self.state.scores[0]
        self.state = replace(
            self.state,
            created=replace(self.state.created, amount=amount),
            queries=(start,),
            spent=start_spent,
            scores={},
            scored={},
        )
        self.scores, self.features, self.cost_of = scores, self.state.features[0], cost_of
        self.state = replace(self.state, features={}, extracted={}, attempt=1)

    def to_the_end(self):
        for _ in range(2000):
            action = decide(self.state, self.config)
            if isinstance(action, Stop):
                return self
            self.step(action)
            assert self.state.spent + self.state.reserved <= self.state.amount
        raise AssertionError("the run does not end")

    def step(self, action):
        known = {
            Train: self.train,
            Score: self.score,
            Extract: self.extract,
        }
        if type(action) in known:
            known[type(action)](action.cycle)
            return
        self.append(self.label() if isinstance(action, Label) else action.perform(self))

    def append(self, fact):
        event = Event(sequence=0, kind=fact.kind, time="", data=fact.payload())
        self.state = fold([event], self.state)

    def train(self, cycle):
        self.state = replace(
            self.state, trained={**self.state.trained, cycle: cycle_trained(cycle)}
        )

    def score(self, cycle):
        self.state = replace(
            self.state,
            scores={**self.state.scores, cycle: self.scores},
            scored={**self.state.scored, cycle: pool_scored(cycle)},
        )

    def extract(self, cycle):
        self.state = replace(
            self.state,
            features={**self.state.features, cycle: self.features},
            extracted={**self.state.extracted, cycle: features_extracted(cycle)},
        )

    def label(self):
        query = self.state.queries[-1]
        table = read_table(self.storage, query.file)
        costs = [
            min(cost, self.cost_of(query.cycle, row))
            for row, cost in enumerate(table["cost"].to_pylist())
        ]
        self.pool.mark_labelled(table)
        return LabelsReceived(
            cycle=query.cycle,
            part=None,
            num_regions=len(table),
            cost=sum(costs),
            num_pixels=1,
            clicks=sum(costs),
            refused=(),
            seconds=0.0,
            term=self.state.attempt,
        )

    @property
    def spent_by_cycle(self):
        cycles = sorted({query.cycle for query in self.state.queries})
        return [
            sum(query.received_cost for query in self.state.queries if query.cycle == cycle)
            for cycle in cycles
        ]

    def cheapest_left(self):
        parts = [part for part in scored_parts(self, max(self.state.scored)) if len(part)]
        return min((int(upper_bounds(self, part).min()) for part in parts), default=1 << 62)


@pytest.mark.parametrize("rule", ["topk", "kmeans"])
@pytest.mark.parametrize(
    ("name", "cost_of"),
    [
        ("dear after a cheap start", lambda cycle, row: 95),
        ("cheap after a dear one", lambda cycle, row: 95 if cycle == 0 else 8),
        ("turn by turn", lambda cycle, row: 90 if cycle % 2 else 10),
        ("all that is reserved", lambda cycle, row: CAP),
        ("about half", lambda cycle, row: 40 + row % 20),
        ("dear, and cheap at last", lambda cycle, row: 95 if cycle < 8 else 2),
    ],
)
def test_a_run_ends_only_where_the_rest_pays_for_no_region(rule, name, cost_of):
    run = Run(8000, cost_of, strategy={"batch": {"kind": rule}}).to_the_end()
    left = run.state.amount - run.state.spent
    assert left < run.cheapest_left()
    assert run.state.reserved == 0
    assert len(run.state.trained) <= 2 + 2 * 8000 // STEP
    assert run.state.finished == (
        "budget spent" if left == 0 else "nothing left that fits the budget"
    )


def test_no_cycle_trains_for_next_to_nothing():
    """If labels cost more than planned, later cycles are fewer, not smaller, except the last."""
    run = Run(8000, lambda cycle, row: 95).to_the_end()
    assert len(run.spent_by_cycle) <= 2 + 8000 // STEP
    assert min(run.spent_by_cycle[:-1]) >= STEP / 2


def test_a_share_of_a_cycle_below_one_region_buys_one_region_a_cycle():
    """A dense label reserves 100 clicks, a cycle plans 50."""
    run = Run(600, lambda cycle, row: 60, step=50, start_spent=50, start_reserved=100).to_the_end()
    assert run.state.amount - run.state.spent < CAP
    assert all(query.num_regions == 1 for query in run.state.queries[1:])


def test_a_cycle_spends_what_is_planned_where_labels_cost_what_they_did():
    """Each query reserves four times its share, as the labels of the start set cost a quarter."""
    run = Run(5000, lambda cycle, row: 25).to_the_end()
    assert [query.cost for query in run.state.queries if query.cycle >= 0][:3] == [2000, 2000, 2000]
    assert run.state.amount - run.state.spent < CAP


def test_pixels_of_regions_larger_than_a_cycle_plans_are_bought_one_by_one():
    """The small images are used up first; then a cycle's share pays for no region."""
    values = {"budget": {"unit": "pixels", "start": 400, "per_cycle": 400, "amount": 40_000}}
    pool = Bench(values, sizes="mixed")
    small = [part.filter(np.asarray(part["num_pixels"]) < 400) for part in scored_parts(pool, 0)]
    for part in small:
        pool.pool.mark_queried(part)
    assert len(select_query.select_query(pool, 0, 400)) == 0
    selected = Select(0).perform(pool)
    assert isinstance(selected, QuerySelected) and selected.num_regions == 1
    assert selected.cost > 400

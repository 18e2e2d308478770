"""Tell what the cycles of a run need: pure functions of its state and configuration."""

from fractions import Fraction

from ray_al.core.config import RunConfig
from ray_al.core.types import SEED_CYCLE, START_CYCLE
from ray_al.driver.budget import final_budgets, planned_amount
from ray_al.driver.existing import takes_existing
from ray_al.ledger import State

CLOSE = Fraction(1, 10)
"""Part of a query that may be missing from a budget that counts as reached."""


def next_cycle(state: State, config: RunConfig) -> int:
    """Return the cycle after that of the last query; before any query, the first one."""
    return state.queries[-1].cycle + 1 if state.queries else first_cycle(config)


def first_cycle(config: RunConfig) -> int:
    """Return the number of the first query: a start set, or the random part of one."""
    return SEED_CYCLE if config.budget.start_rule.seed_part else START_CYCLE


def needs_model(config: RunConfig, cycle: int) -> bool:
    """Return whether `cycle` has a model; a start set chosen by scores or features has one too."""
    return cycle >= 0 or (cycle == START_CYCLE and config.budget.start_rule.needs_model)


def compares_passes(config: RunConfig, cycle: int) -> bool:
    """Return whether the scores of `cycle` compare several passes over an image."""
    # The functions load PyTorch, which deciding on other actions does not need.
    from ray_al.acquisition import find_acquisition

    return find_acquisition(config.strategy_at(cycle).acquisition).inputs == "passes"


def num_members(config: RunConfig, cycle: int) -> int:
    """Return the number of models that are trained in `cycle`."""
    return config.strategy.passes.num_members if compares_passes(config, cycle) else 1


def needs_scores(config: RunConfig, cycle: int) -> bool:
    """Return whether the pool is scored before the query of `cycle` is chosen.

    Regions of some kinds are known only from a pass over the pool.
    """
    return not takes_existing(config, cycle) and (
        cycle >= 0
        or needs_model(config, cycle)
        or config.regions.is_sparse
        or config.regions.needs_maps
    )


def needs_features(config: RunConfig, cycle: int) -> bool:
    """Return whether the batch rule of `cycle` reads features of its candidates."""
    return config.strategy_at(cycle).batch.reads_features


def num_passes(state: State, config: RunConfig) -> int:
    """Return how often the run will still score its pool: once per query that the budget pays."""
    left, passes = state.remaining, 0
    cycle = next_cycle(state, config)
    while left > 0:
        passes += needs_scores(config, cycle)
        left -= planned_amount(config.budget, state.created.sizes, cycle, left)
        cycle += 1
    return passes


def budget_to_measure(state: State, config: RunConfig, cycle: int) -> int | None:
    """Return the highest of `final.budgets`, in units, at which the labels of `cycle` are measured.

    None if they are measured at none of them. A budget belongs to the first cycle whose labels
    reach it, or to the last cycle if none does. A query may be unable to spend all of its units
    because no region is small enough, which is no reason to wait for the next query: a budget
    counts as reached if less than `CLOSE` of a query is missing.
    """
    if cycle < 0 or not config.final.budgets:
        return None
    budgets = final_budgets(config, state.created.sizes)
    before = _reached(state, config, cycle - 1)
    reached = (
        max(budgets)
        if state.remaining <= 0 or state.filled == cycle
        else _reached(state, config, cycle)
    )
    return max((budget for budget in budgets if before < budget <= reached), default=None)


def _reached(state: State, config: RunConfig, cycle: int) -> Fraction:
    """Return the budget that the labels of `cycle` reach: their cost, plus `CLOSE` of a query."""
    if cycle < 0:
        return Fraction(0)
    query = planned_amount(config.budget, state.created.sizes, cycle - 1, state.amount)
    return state.trained[cycle].labelled.cost + CLOSE * query


def queries_again(state: State, config: RunConfig) -> bool:
    """Return whether the labels of a cycle cost so little that it queries again by the same scores.

    Clicks are reserved at their upper bound. Without further queries, the end of the budget would
    be spent in ever smaller cycles, each with a training of its own.
    """
    cycle = state.queries[-1].cycle
    return (
        config.budget.unit.shows_late
        and cycle + 1 not in state.trained  # the budget of a run that had ended may be raised
        and state.filled != cycle
        and state.remaining > 0
        and state.spent < clicks_aim(state, config, cycle)
    )


def planned_clicks(state: State, config: RunConfig, cycle: int) -> int:
    """Return the units that the plan spends up to and including the query of `cycle`."""
    return sum(
        planned_amount(config.budget, state.created.sizes, earlier, state.amount)
        for earlier in range(first_cycle(config), cycle + 1)
    )


def clicks_aim(state: State, config: RunConfig, cycle: int) -> int:
    """Return the units that should be spent once the labels of `cycle` are received.

    Labels that cost more than planned leave less for later cycles. A cycle left with less than half
    of its planned units aims at the plan of the next cycle, so no cycle trains on almost nothing
    new.
    """
    step = planned_amount(config.budget, state.created.sizes, cycle, state.amount)
    before = state.spent - sum(
        query.received_cost for query in state.queries if query.cycle == cycle
    )
    aim = planned_clicks(state, config, cycle)
    while 2 * (aim - before) < step and aim < state.amount:
        cycle += 1
        aim += planned_amount(config.budget, state.created.sizes, cycle, state.amount)
    return min(state.amount, aim)

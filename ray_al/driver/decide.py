"""Decide what to do next: a pure function of the state and the configuration."""

from dataclasses import dataclass
from fractions import Fraction

from ray_al.acquisition import find_acquisition
from ray_al.core.config import RunConfig
from ray_al.core.shares import exact
from ray_al.core.types import SEED_CYCLE, START_CYCLE
from ray_al.driver.budget import final_budgets, query_size
from ray_al.driver.existing import annotator_at, takes_existing
from ray_al.ledger import State


@dataclass(frozen=True)
class Label:
    """Ask the annotator for the labels of the open query."""

    cycle: int


@dataclass(frozen=True)
class Collect:
    """Import the answers of people."""

    cycle: int


@dataclass(frozen=True)
class Close:
    """Close the query and refund what was not answered."""

    cycle: int


@dataclass(frozen=True)
class Segment:
    """Compute the regions of every image, for kinds of regions that depend on its content."""


@dataclass(frozen=True)
class Embed:
    """Store the features that the frozen backbone computes for the pool."""


@dataclass(frozen=True)
class Train:
    """Train the model of a cycle, or another member of its ensemble if `member` is above 0."""

    cycle: int
    member: int = 0


@dataclass(frozen=True)
class Measure:
    """Train new models by the final recipe on the labels of a cycle, and evaluate them."""

    cycle: int


@dataclass(frozen=True)
class Score:
    """Score the pool, or only the images that lazy scoring left out if `rest` is set."""

    cycle: int
    rest: bool = False


@dataclass(frozen=True)
class Extract:
    """Compute the features of the best candidates and of the labelled regions."""

    cycle: int


@dataclass(frozen=True)
class Select:
    """Choose the query of a cycle."""

    cycle: int


@dataclass(frozen=True)
class Finish:
    """Record the end of the run."""

    reason: str


@dataclass(frozen=True)
class Wait:
    """Wait for people who label: exit and release all resources, until a resume continues."""

    tasks: str


@dataclass(frozen=True)
class Stop:
    """End the loop of a run that has finished."""

    reason: str


Action = (
    Segment
    | Embed
    | Label
    | Collect
    | Close
    | Train
    | Measure
    | Score
    | Extract
    | Select
    | Finish
    | Wait
    | Stop
)


NOTHING_LEFT = "nothing left that fits the budget"
CLOSE = Fraction(1, 10)
"""Part of a query that may be missing from a budget that counts as reached."""


def decide(state: State, config: RunConfig) -> Action:
    """Return the next action of a run."""
    if state.finished is not None:
        return Stop(state.finished)
    if config.regions.needs_maps and state.maps is None:
        return Segment()
    if state.queries and not state.queries[-1].closed:
        return _label(state, config)
    if state.queries and is_short(state, config):
        return Select(state.queries[-1].cycle)
    cycle = state.queries[-1].cycle + 1 if state.queries else first_cycle(config)
    if needs_embedding(state, config, cycle):
        return Embed()
    if needs_model(config, cycle) and cycle not in state.trained:
        return _train(state, config, cycle)
    if cycle not in state.measured and budget_to_measure(state, config, cycle) is not None:
        return Measure(cycle)
    if cycle >= 0 and state.remaining <= 0:
        return Finish("budget spent")
    if state.filled == cycle:
        return Finish(NOTHING_LEFT)
    return _choose(state, config, cycle)


def _train(state: State, config: RunConfig, cycle: int) -> Train:
    """Return the next training: the members of an ensemble one by one, the evaluated model last."""
    have = state.members.get(cycle, {})
    missing = [member for member in range(1, num_members(config, cycle)) if member not in have]
    return Train(cycle, missing[0] if missing else 0)


def _choose(state: State, config: RunConfig, cycle: int) -> Action:
    if needs_scores(config, cycle):
        if cycle not in state.scored:
            return Score(cycle)
        if misses_too_much(state, config, cycle):
            return Score(cycle, rest=True)
    if needs_features(config, cycle) and cycle not in state.extracted:
        return Extract(cycle)
    return Select(cycle)


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
    query = query_size(config.budget, state.created.sizes, cycle - 1, state.amount)
    return state.trained[cycle].labelled.cost + CLOSE * query


def is_short(state: State, config: RunConfig) -> bool:
    """Return whether the labels of a cycle cost so little that it queries again by the same scores.

    Clicks are reserved at their upper bound. Without further queries, the end of the budget would
    be spent in ever smaller cycles, each with a training of its own.
    """
    cycle = state.queries[-1].cycle
    return (
        config.budget.unit.shows_late
        and state.filled != cycle
        and state.remaining > 0
        and state.spent < clicks_aim(state, config, cycle)
    )


def planned_clicks(state: State, config: RunConfig, cycle: int) -> int:
    """Return the units that the plan spends up to and including the query of `cycle`."""
    return sum(
        query_size(config.budget, state.created.sizes, earlier, state.amount)
        for earlier in range(first_cycle(config), cycle + 1)
    )


def clicks_aim(state: State, config: RunConfig, cycle: int) -> int:
    """Return the units that should be spent once the labels of `cycle` are received.

    Labels that cost more than planned leave less for later cycles. A cycle left with less than half
    of its planned units aims at the plan of the next cycle, so no cycle trains on almost nothing
    new.
    """
    step = query_size(config.budget, state.created.sizes, cycle, state.amount)
    before = state.spent - sum(
        query.received_cost for query in state.queries if query.cycle == cycle
    )
    aim = planned_clicks(state, config, cycle)
    while 2 * (aim - before) < step and aim < state.amount:
        cycle += 1
        aim += query_size(config.budget, state.created.sizes, cycle, state.amount)
    return min(state.amount, aim)


def first_cycle(config: RunConfig) -> int:
    """Return the number of the first query: a start set, or the random part of one."""
    return SEED_CYCLE if config.budget.start_rule.seed_part else START_CYCLE


def needs_model(config: RunConfig, cycle: int) -> bool:
    """Return whether `cycle` has a model; a start set chosen by scores or features has one too."""
    return cycle >= 0 or (cycle == START_CYCLE and config.budget.start_rule.needs_model)


def num_members(config: RunConfig, cycle: int) -> int:
    """Return the number of models that are trained in `cycle`."""
    compares = find_acquisition(config.strategy_at(cycle).acquisition).inputs == "passes"
    return config.strategy.passes.num_members if compares else 1


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


def needs_embedding(state: State, config: RunConfig, cycle: int) -> bool:
    """Return whether `cycle` begins with storing the features of a frozen backbone.

    It does so if something reads them afterwards, and often enough for storing them to pay.
    """
    if (
        not config.model.is_frozen
        or state.embedded is not None
        or (cycle >= 0 and state.remaining <= 0)
    ):
        return False
    reads = (
        needs_model(config, cycle) or needs_scores(config, cycle) or needs_features(config, cycle)
    )
    return reads and config.features.store.keeps(num_passes(state, config))


def num_passes(state: State, config: RunConfig) -> int:
    """Return how often the run will still score its pool: once per query that the budget pays."""
    left, passes = state.remaining, 0
    cycle = state.queries[-1].cycle + 1 if state.queries else first_cycle(config)
    while left > 0:
        passes += needs_scores(config, cycle)
        left -= query_size(config.budget, state.created.sizes, cycle, left)
        cycle += 1
    return passes


def needs_features(config: RunConfig, cycle: int) -> bool:
    """Return whether the batch rule of `cycle` reads features of its candidates."""
    return config.strategy_at(cycle).batch.reads_features


def misses_too_much(state: State, config: RunConfig, cycle: int) -> bool:
    """Return whether lazy scoring missed too much of the query, and the rest is not scored yet.

    It may miss as much of the query of the whole pool as `strategy.lazy.min_recall` allows.
    """
    recall, lazy = state.scored[cycle].recall, config.strategy.lazy
    return (
        lazy is not None
        and recall is not None
        and recall < lazy.min_recall
        and not state.scored[cycle].rest
    )


def _label(state: State, config: RunConfig) -> Action:
    query = state.queries[-1]
    annotator = annotator_at(config, query.cycle)
    due = query.num_regions - query.refused
    if query.collected_in_term and query.answered >= exact(annotator.wanted_share) * due:
        return Close(query.cycle)
    if annotator.answers_at_once or query.tasks is None:
        return Label(query.cycle)
    return Collect(query.cycle) if query.collected_in_term < state.term else Wait(query.tasks)

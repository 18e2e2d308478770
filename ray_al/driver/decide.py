"""What to do next: a pure function of the state and the configuration."""

from dataclasses import dataclass

from ray_al.core.config import RunConfig
from ray_al.core.types import START_CYCLE
from ray_al.ledger import State


@dataclass(frozen=True)
class Label:
    """Have the open query labelled: ask the annotator."""

    cycle: int


@dataclass(frozen=True)
class Collect:
    """Take in the answers of people."""

    cycle: int


@dataclass(frozen=True)
class Close:
    """Close the query and refund what was not answered."""

    cycle: int


@dataclass(frozen=True)
class Train:
    cycle: int


@dataclass(frozen=True)
class Score:
    cycle: int


@dataclass(frozen=True)
class Select:
    cycle: int


@dataclass(frozen=True)
class Finish:
    reason: str


@dataclass(frozen=True)
class Wait:
    """People are labelling: end, with no process held; a resume goes on."""

    tasks: str


@dataclass(frozen=True)
class Stop:
    reason: str


Action = Label | Collect | Close | Train | Score | Select | Finish | Wait | Stop


def decide(state: State, config: RunConfig) -> Action:
    """The next action of a run."""
    if state.finished is not None:
        return Stop(state.finished)
    if not state.queries:
        return _start(state, config)
    query = state.queries[-1]
    if not query.closed:
        return _label(state, config)
    cycle = query.cycle + 1
    if cycle not in state.trained:
        return Train(cycle)
    if state.remaining <= 0:
        return Finish("budget spent")
    return Score(cycle) if cycle not in state.scored else Select(cycle)


def _start(state: State, config: RunConfig) -> Action:
    if config.budget.start_rule == "scored":
        if START_CYCLE not in state.trained:
            return Train(START_CYCLE)
        if START_CYCLE not in state.scored:
            return Score(START_CYCLE)
    return Select(START_CYCLE)


def _label(state: State, config: RunConfig) -> Action:
    query = state.queries[-1]
    due = query.num_regions - query.refused
    if query.collected_in_term and query.answered >= config.label.share * due:
        return Close(query.cycle)
    if config.label.annotator == "simulated" or query.tasks is None:
        return Label(query.cycle)
    return Collect(query.cycle) if query.collected_in_term < state.term else Wait(query.tasks)

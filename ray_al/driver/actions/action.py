"""Define what the steps of a run have in common."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from ray_al.core.config import RunConfig
from ray_al.driver.context import Context
from ray_al.ledger import Query, State
from ray_al.ledger.records import Record


class Step(ABC):
    """What may come next in a run: an action, or an end of its loop.

    The order in which steps are asked whether they are due is in `ray_al/driver/decide.py`.
    """

    @classmethod
    @abstractmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Return the step if it comes next, given that none comes that is asked before it."""


class Action(Step):
    """A step that does something, and is recorded.

    Every action is safe to repeat: files are written first, then one event names them.
    """

    leads_to_training: ClassVar[bool] = False
    """Whether a training follows without any scoring in between."""
    extends_curve: ClassVar[bool] = False
    """Whether its record adds to the learning curve."""

    @abstractmethod
    def perform(self, context: Context) -> Record:
        """Carry out the action and return the record of it, which the caller appends."""

    def after(self, context: Context) -> None:
        """Do what must wait until the action is recorded, such as removing files; may be nothing.

        A host may die before this is done.
        """


def open_query(state: State) -> Query | None:
    """Return the query that still takes labels; None if there is none."""
    query = state.queries[-1] if state.queries else None
    return None if query is None or query.closed else query

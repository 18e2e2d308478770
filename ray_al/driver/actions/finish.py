"""Record the end of a run."""

from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.cycles import next_cycle
from ray_al.ledger import State
from ray_al.ledger.records import RunFinished

SPENT = "budget spent"
NOTHING_LEFT = "nothing left that fits the budget"


@dataclass(frozen=True)
class Finish(Action):
    """Record the end of the run."""

    reason: str

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Finish if the budget is spent, or pays for no further region."""
        cycle = next_cycle(state, config)
        if cycle >= 0 and state.remaining <= 0:
            return cls(SPENT)
        return cls(NOTHING_LEFT) if state.filled == cycle else None

    def perform(self, context: Context) -> RunFinished:
        """Return the record of the end."""
        return RunFinished(reason=self.reason)

"""End the loop of a run that has finished."""

from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.driver.actions.action import Step
from ray_al.ledger import State


@dataclass(frozen=True)
class Stop(Step):
    """End the loop of a run that has finished."""

    reason: str

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Stop once the end of the run is recorded."""
        return None if state.finished is None else cls(state.finished)

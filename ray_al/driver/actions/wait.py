"""End the loop until people have labelled."""

from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import RunDir
from ray_al.driver.actions.action import Step, open_query
from ray_al.driver.validation_labels import awaited
from ray_al.ledger import State


@dataclass(frozen=True)
class Wait(Step):
    """Wait for people who label: exit and release all resources, until a resume continues."""

    tasks: str

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Wait if people were asked, and this host has collected their answers."""
        query = open_query(state)
        return None if query is None or query.tasks is None else cls(query.tasks)

    @classmethod
    def due_for_validation(cls, state: State, config: RunConfig) -> Self | None:
        """Wait for masks of validation images, once their answers so far were collected."""
        known = awaited(state)
        return None if known is None else cls(known.tasks or RunDir.VALIDATION_TASKS)

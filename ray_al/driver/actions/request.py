"""Ask people for the labels of the open query."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.driver.actions.action import Action, open_query
from ray_al.driver.asking import describe_query
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.driver.quarantine import Looks, quarantine_broken, refuse_broken
from ray_al.ledger import State
from ray_al.ledger.records import LabelsRequested


@dataclass(frozen=True)
class Request(Action):
    """Ask people for the labels of the open query."""

    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Ask once, where the annotator does not answer at once."""
        query = open_query(state)
        return None if query is None or query.tasks is not None else cls(query.cycle)

    def perform(self, context: Context) -> LabelsRequested:
        """Make the tasks for people who label, without images that turn out broken."""
        query = context.state.queries[-1]
        table = read_table(context.storage, query.file)
        context.note("label", 0, len(table))
        indices = np.unique(table.column("image_index").to_numpy()).tolist()
        quarantine_broken(context, indices, Looks(context.pool))
        refused = refuse_broken(context, table)
        left_out = {refusal.name for refusal in refused}
        asked = describe_query(context, query, table, left_out=left_out)
        num_tasks = context.config.label.annotator.request(asked)
        return LabelsRequested(
            cycle=query.cycle, tasks=asked.folder, num_tasks=num_tasks, refused=refused
        )

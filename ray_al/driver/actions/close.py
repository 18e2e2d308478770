"""Close the open query."""

from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.shares import exact
from ray_al.driver.actions.action import Action, open_query
from ray_al.driver.asking import describe_query
from ray_al.driver.context import Context
from ray_al.driver.existing import annotator_at
from ray_al.driver.pool import read_table
from ray_al.ledger import State
from ray_al.ledger.records import QueryClosed


@dataclass(frozen=True)
class Close(Action):
    """Close the query and refund what was not answered."""

    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Close a query of which enough is answered, once answers were looked for."""
        query = open_query(state)
        if query is None or not query.collected_in_attempt:
            return None
        annotator = annotator_at(config, query.cycle)
        wanted = exact(annotator.quorum) * (query.num_regions - len(query.refused))
        return cls(query.cycle) if query.answered >= wanted else None

    def perform(self, context: Context) -> QueryClosed:
        """Close the query; refund what was reserved for missing answers and cheaper labels."""
        query = context.state.queries[-1]
        if query.tasks is not None:
            table = read_table(context.storage, query.file)
            context.config.label.annotator.close(describe_query(context, query, table))
        return QueryClosed(
            cycle=query.cycle,
            num_unanswered=query.num_regions - query.answered,
            refunded=query.cost - query.received_cost,
        )

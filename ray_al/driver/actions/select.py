"""Choose the query of a cycle."""

import time
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import CycleDir
from ray_al.driver.actions.action import Action
from ray_al.driver.actions.finish import NOTHING_LEFT
from ray_al.driver.context import Context
from ray_al.driver.costs import amount_to_reserve
from ray_al.driver.cycles import budget_to_measure, next_cycle, queries_again
from ray_al.driver.existing import existing_query, takes_existing
from ray_al.driver.pool import table_bytes
from ray_al.ledger import State
from ray_al.ledger.records import CycleFilled, QuerySelected, RunFinished


@dataclass(frozen=True)
class Select(Action):
    """Choose the query of a cycle."""

    leads_to_training = True
    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Choose a query once everything that it is chosen by is there."""
        return cls(next_cycle(state, config))

    @classmethod
    def due_again(cls, state: State, config: RunConfig) -> Self | None:
        """Choose a further query of the same cycle if its labels cost less than was planned."""
        is_due = bool(state.queries) and queries_again(state, config)
        return cls(state.queries[-1].cycle) if is_due else None

    def perform(self, context: Context) -> QuerySelected | CycleFilled | RunFinished:
        """Choose the query, write it, and reserve its maximum cost."""
        # Loads PyTorch, which deciding on actions does not need.
        from ray_al.driver.select_query import select_query

        start, cycle = time.monotonic(), self.cycle
        context.note("select", 0, 1)
        earlier = sum(query.cycle == cycle for query in context.state.queries)
        if takes_existing(context.config, cycle):
            return _selected(context, cycle, existing_query(context), earlier, start)
        amount, remaining = amount_to_reserve(context, cycle), context.state.remaining
        query = select_query(context, cycle, amount)
        if len(query) == 0 and not earlier and amount < remaining:
            # A cycle's part may be less than a region costs, while the whole rest pays for one.
            query = select_query(context, cycle, remaining, limit=1)
        if len(query) == 0:
            return _no_query(context, cycle, earlier)
        return _selected(context, cycle, query, earlier, start)


def _selected(
    context: Context, cycle: int, query: pa.Table, earlier: int, start: float
) -> QuerySelected:
    """Write a query, and return the record that reserves its maximum cost.

    Args:
        earlier: number of earlier queries of this cycle.
        start: when choosing began, by `time.monotonic`.
    """
    name = CycleDir(cycle).query(earlier + 1)
    ref = context.storage.put(name, table_bytes(query), attempt=context.state.attempt)
    context.pool.mark_queried(query)
    return QuerySelected(
        cycle=cycle,
        query=ref,
        num_regions=len(query),
        num_pixels=sum(query.column("num_pixels").to_pylist()),
        cost=sum(query.column("cost").to_pylist()),
        seconds=time.monotonic() - start,
    )


def _no_query(context: Context, cycle: int, earlier: int) -> CycleFilled | RunFinished:
    """Record that nothing fits: the cycle has had its queries, or the run ends.

    A run does not end before the labels of its last cycle are measured.

    Args:
        earlier: number of queries that the cycle has had.
    """
    filled = replace(context.state, filled=cycle)
    if earlier or budget_to_measure(filled, context.config, cycle) is not None:
        return CycleFilled(cycle=cycle)
    return RunFinished(reason=NOTHING_LEFT)

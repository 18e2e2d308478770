"""Compute what a query may cost and what its regions cost at most, in the budget's unit."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from ray_al.driver.budget import planned_amount
from ray_al.driver.context import Context
from ray_al.driver.cycles import clicks_aim


def amount_to_reserve(context: Context, cycle: int) -> int:
    """Return the units that the query of `cycle` may reserve.

    If costs show late, upper bounds are reserved and mostly refunded. For a cycle to spend about
    what is planned, the reservation is scaled by the ratio of reserved to actual costs so far. It
    never exceeds what is left of the whole budget.
    """
    budget, state = context.config.budget, context.state
    if not budget.unit.shows_late:
        return planned_amount(budget, state.created.sizes, cycle, state.remaining)
    aim = clicks_aim(state, context.config, cycle)
    reserved = sum(query.cost for query in state.queries)
    received = sum(query.received_cost for query in state.queries)
    factor = Fraction(reserved, received) if received else Fraction(1)
    return min(max(1, round((aim - state.spent) * factor)), state.remaining)


def typical_cost(context: Context) -> int:
    """Return the maximum cost of a region of mean size, to estimate how many a query can hold."""
    pool, created = context.pool, context.state.created
    size = pool.kind.region_pixels or max(1, created.num_pixels // max(1, created.num_regions))
    return _bounds(context, [size])[0]


def upper_bounds(context: Context, table: pa.Table) -> np.ndarray:
    """Return the maximum cost of each row's region in the budget's unit, int64 (rows,).

    If the unit is images, it is the cost of the image's first region.
    """
    sizes, inverse = np.unique(table.column("num_pixels").to_numpy(), return_inverse=True)
    bounds: np.ndarray = np.array(_bounds(context, sizes.tolist()), dtype=np.int64)[inverse]
    return bounds


def _bounds(context: Context, sizes: Sequence[int]) -> list[int]:
    """Return the maximum costs of regions with these numbers of pixels."""
    unit, label = context.config.budget.unit, context.config.label
    return [unit.most(size, label, context.dataset.num_classes) for size in sizes]

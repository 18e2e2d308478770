"""What a query may cost, and what its regions cost at most, in the budget's unit."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from ray_al.driver import decide as actions
from ray_al.driver.budget import query_size
from ray_al.driver.context import Context


def query_amount(context: Context, cycle: int) -> int:
    """What the query of `cycle` may reserve, in the budget's unit.

    Where costs show late, an upper bound is reserved and mostly refunded. So that a cycle spends about what is planned, more is reserved, by what
    the labels so far cost of what was reserved for them; never more than is left of the whole budget.
    """
    budget, state = context.config.budget, context.state
    if not budget.unit.shows_late:
        return query_size(budget, state.created.sizes, cycle, state.remaining)
    aim = actions.clicks_aim(state, context.config, cycle)
    reserved, received = (
        sum(getattr(query, name) for query in state.queries) for name in ("cost", "received_cost")
    )
    factor = Fraction(reserved, received) if received else Fraction(1)
    return min(max(1, round((aim - state.spent) * factor)), state.remaining)


def typical_cost(context: Context) -> int:
    """What a region of mean size costs at most: enough to know about how many a query can hold."""
    pool, created = context.pool, context.state.created
    size = pool.kind.region_pixels or max(1, created.num_pixels // max(1, created.num_regions))
    return _bounds(context, [size])[0]


def upper_bounds(context: Context, table: pa.Table) -> np.ndarray:
    """What each region costs at most, in the budget's unit, int64 (rows,); of images, what it costs if it is the image's first."""
    sizes, inverse = np.unique(table.column("num_pixels").to_numpy(), return_inverse=True)
    bounds: np.ndarray = np.array(_bounds(context, sizes.tolist()), dtype=np.int64)[inverse]
    return bounds


def _bounds(context: Context, sizes: Sequence[int]) -> list[int]:
    """What regions of these numbers of pixels cost at most."""
    unit, label = context.config.budget.unit, context.config.label
    return [unit.most(size, label, context.dataset.num_classes) for size in sizes]

"""Choose the query of a cycle: regions that the budget pays, from stored scores and features."""

from functools import partial

import pyarrow as pa

from ray_al.acquisition import find_acquisition, open_acquisition
from ray_al.core.strategy import StrategyConfig
from ray_al.core.types import SCORE_SCHEMA
from ray_al.driver.context import Context
from ray_al.driver.costs import typical_cost, upper_bounds
from ray_al.driver.quarantine import Looks, quarantine_broken, unchanged_since_stored
from ray_al.driver.scored_pool import ScoredCycle, rank_scores
from ray_al.label.truth import is_void as is_void_in
from ray_al.select.basket import Basket, Skip
from ray_al.select.fill import Allows, fill_in_order


def select_query(
    context: Context, cycle: int, amount: int, *, limit: int | None = None
) -> pa.Table:
    """Choose the regions of `cycle` that `amount` pays, at most `limit` of them.

    Returns:
        QUERY_SCHEMA, best first.

    Raises:
        RayALError: a score or a feature is not a number, or the batch rule cannot take the scores.
    """
    strategy = context.config.strategy_at(cycle)
    basket = _basket(context, strategy, amount, skip=_skip(context, cycle), limit=limit)
    if cycle in context.state.scored:
        strategy.batch.fill(basket, ScoredCycle(context, cycle))
    else:
        fill_in_order(
            basket, partial(_start_order, context, cycle), typical_cost=typical_cost(context)
        )
    return basket.query()


def select_best(context: Context, cycle: int, amount: int) -> pa.Table:
    """Choose the regions with the highest scores that `amount` pays, whatever the batch rule.

    Returns:
        QUERY_SCHEMA, best first.
    """

    def order(k: int, allows: Allows) -> pa.Table:
        best = rank_scores(context, cycle, k, allows)
        return best.select(SCORE_SCHEMA.names).append_column(
            "reason", pa.array(["topk"] * len(best), pa.string())
        )

    basket = _basket(context, context.config.strategy_at(cycle), amount)
    fill_in_order(basket, order, typical_cost=typical_cost(context), ranks_ahead=True)
    return basket.query()


def _basket(
    context: Context,
    strategy: StrategyConfig,
    amount: int,
    *,
    skip: Skip | None = None,
    limit: int | None = None,
) -> Basket:
    pays_once = context.config.budget.unit.pays_once_an_image
    return Basket(
        amount,
        costs_of=partial(upper_bounds, context),
        boxes_of=lambda index, regions: context.pool.regions_of(index).boxes_of(regions),
        opened=context.pool.labelled_images if pays_once else None,
        skip=skip,
        per_image=strategy.per_image,
        min_distance=strategy.min_distance,
        limit=limit,
        # An image that turns out broken changes what the pool as a whole says of its classes.
        is_order_fixed=skip is None or open_acquisition(strategy).attribution == "none",
    )


def _skip(context: Context, cycle: int) -> Skip | None:
    """Return a test of regions to pass over; None if there are none.

    Void regions are passed over if EquAL's filter is on, and regions of broken images if no scorer
    has opened the images.
    """
    strategy = context.config.strategy_at(cycle)
    unread = (
        context.config.model.is_frozen or not find_acquisition(strategy.acquisition).needs_model
    )
    unopened = context.opens_images and unread
    is_unchanged = unchanged_since_stored(context) if unopened else None
    opened: set[int] = set()
    looks = Looks(context.pool)

    def is_broken(index: int, region: int) -> bool:
        if index not in opened:
            opened.add(index)
            if is_unchanged is None or not is_unchanged(index):
                quarantine_broken(context, [index], looks)
        return bool(context.pool.broken[index])

    def is_void(index: int, region: int) -> bool:
        return is_void_in(context.truth, index, region)

    checks: list[Skip] = []
    if unopened:
        checks.append(is_broken)
    if strategy.skip_void_by_ground_truth:
        checks.append(is_void)
    if not checks:
        return None
    return lambda index, region: any(check(index, region) for check in checks)


def _start_order(context: Context, cycle: int, k: int, allows: Allows) -> pa.Table:
    """Rank the best `k` regions of a start set that needs no scores."""
    config, pool = context.config, context.pool
    rule = config.budget.start_rule
    return rule.rank(
        pool.manifest,
        pool.kind,
        k=k,
        seed=config.seed,
        cycle=cycle,
        remaining=~pool.chosen,
        allows=allows,
    )

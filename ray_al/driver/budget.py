"""Convert budgets from counts and fractions to whole units, and check them against the pool."""

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pyarrow as pa

from ray_al.core.config import BudgetConfig, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.units import UNBOUNDED, Unit
from ray_al.core.shares import exact
from ray_al.core.types import SEED_CYCLE, START_CYCLE, PoolSizes
from ray_al.driver.capacity import PER_CYCLE, SEED_PART, check_capacity


def _exact(value: int | float, unit: Unit, total: int | None, key: str) -> Fraction:
    """Return `value` in units, of which the pool has `total`.

    Fractions are read as decimals, so six times 2 % is 12 % and not slightly less.
    """
    if isinstance(value, int):
        return Fraction(value)
    if total is None:
        raise ConfigError(
            f"{key}={value}: a share of all {unit.name} is not known before they are made; "
            f"give a number of {unit.name}"
        )
    return exact(value) * total


def _whole(units: Fraction) -> int:
    return int(units + Fraction(1, 2))


def in_units(budget: BudgetConfig, pool: PoolSizes, value: int | float, key: str) -> int:
    """Convert a count or a fraction of the pool to whole units of the budget.

    Args:
        pool: sizes of the pool.
        key: the key that `value` belongs to, for the message.

    Raises:
        ConfigError: a fraction of a unit whose total is unknown; names `key`.
    """
    return _whole(_exact(value, budget.unit, budget.unit.of_pool(pool), key))


def _start(budget: BudgetConfig, pool: PoolSizes) -> Fraction:
    """Return the planned size of the start set in units; 0 if it are labels that exist."""
    if budget.start_rule.takes_existing:
        return Fraction(0)
    return _exact(budget.start, budget.unit, budget.unit.of_pool(pool), "budget.start")


def whole_budget(budget: BudgetConfig, pool: PoolSizes) -> int:
    """Return the whole budget in units.

    Raises:
        ConfigError: it is more than the pool, or less than one unit.
    """
    total, unit = budget.unit.of_pool(pool), budget.unit.name
    amount = in_units(budget, pool, budget.amount, "budget.amount")
    start = _whole(_start(budget, pool))
    if total is not None and amount > total:
        raise ConfigError(
            f"budget.amount: {amount} {unit} are more than the pool's {total}; lower it"
        )
    if amount < 1 or (start < 1 and not budget.start_rule.takes_existing):
        raise ConfigError(
            f"budget: start={budget.start} or amount={budget.amount} of {total} {unit} is less "
            "than one; raise it, or write a count"
        )
    return amount


def final_budgets(config: RunConfig, pool: PoolSizes) -> tuple[int, ...]:
    """Return `final.budgets` in units."""
    return tuple(
        in_units(config.budget, pool, value, "final.budgets") for value in config.final.budgets
    )


def check_final_budgets(config: RunConfig, pool: PoolSizes, amount: int) -> None:
    """Refuse budgets at which no model can be measured.

    Args:
        amount: the whole budget in units.

    Raises:
        ConfigError: naming the value and what it would have to be.
    """
    units, unit = final_budgets(config, pool), config.budget.unit.name
    named = list(config.final.budgets)
    if any(earlier >= later for earlier, later in itertools.pairwise(units)):
        raise ConfigError(
            f"final.budgets: {named} are {list(units)} {unit}, which do not ascend; "
            "give each once, in ascending order"
        )
    if units and units[-1] > amount:
        raise ConfigError(
            f"final.budgets: {named[-1]} is {units[-1]} {unit}, more than budget.amount, {amount}; "
            "leave it out, or raise budget.amount"
        )
    start = _whole(_start(config.budget, pool))
    if units and units[0] < start:
        raise ConfigError(
            f"final.budgets: {named[0]} is {units[0]} {unit}, less than budget.start, {start}, "
            "with which the first model is trained; leave it out, or lower budget.start"
        )


def region_sizes(config: RunConfig, manifest: pa.Table) -> tuple[int, int] | None:
    """Return the native pixels of the pool's smallest and largest region.

    None if only a pass over the images can find them, or if there is no region.
    """
    shapes = manifest.group_by(["height", "width"]).aggregate([]).to_pylist()
    sizes = [size for shape in shapes if (size := config.regions.region_sizes(**shape)) is not None]
    if not sizes:
        return None
    return min(smallest for smallest, _ in sizes), max(largest for _, largest in sizes)


def check_budget(config: RunConfig, pool: PoolSizes, manifest: pa.Table, num_classes: int) -> None:
    """Refuse budgets too small for a query to pay for a region, and queries larger than the pool.

    Args:
        pool: sizes of the pool.
        manifest: the pool's manifest.

    Raises:
        ConfigError: naming the key, the value, and what a region costs or how many there can be.
    """
    budget = config.budget
    if budget.unit.of_pool(pool) == 0 and config.regions.needs_maps:
        return  # fractions of regions that are not known yet
    cheapest, dearest = budget.unit.bounds(
        region_sizes(config, manifest), config.label, num_classes
    )
    amount = whole_budget(budget, pool)
    check_final_budgets(config, pool, amount)
    sizes = _start_sizes(budget, pool)
    left = amount - sum(sizes.values())
    if left < 0:
        raise ConfigError(
            f"budget.start={budget.start}: {sum(sizes.values())} {budget.unit.name} are more than "
            f"budget.amount, {amount}; lower it"
        )
    later = _later_sizes(budget, pool, left)
    # If costs show late, later cycles reserve more than they plan to spend.
    _check_pays(config, sizes if budget.unit.shows_late else {**sizes, **later}, cheapest)
    for key, size in later.items():
        sizes[key], left = min(size, left), left - size
    check_capacity(config, sizes, amount, manifest, dearest)


def _check_pays(config: RunConfig, sizes: Mapping[str, int], cheapest: int) -> None:
    """Refuse queries that cannot pay for a single region.

    Args:
        sizes: units of each query, by the key that sets them.
        cheapest: units that are reserved for a region at least.
    """
    unit = config.budget.unit
    for key, size in sizes.items():
        if size < cheapest:
            raise ConfigError(
                f"budget.{key}: {size} {unit.name} pay for no region, for each of which "
                f"{cheapest} are reserved at least{unit.explain_bound(config.label)}; raise it"
            )


def _start_sizes(budget: BudgetConfig, pool: PoolSizes) -> dict[str, int]:
    """Return the units of the queries of the start set, by the key that sets them."""
    if budget.start_rule.takes_existing:
        return {}
    rest = planned_amount(budget, pool, START_CYCLE, UNBOUNDED)
    if not budget.start_rule.seed_part:
        return {"start": rest}
    return {
        SEED_PART: planned_amount(budget, pool, SEED_CYCLE, UNBOUNDED),
        "start (the rest)": rest,
    }


def _later_sizes(budget: BudgetConfig, pool: PoolSizes, left: int) -> dict[str, int]:
    """Return the units of the queries after the start set, by the key that sets them.

    Only queries that are reached are listed.

    Args:
        left: units that the start set leaves.
    """
    sizes: dict[str, int] = {}
    for place, value in enumerate(budget.steps):
        if left <= 0:
            break
        key = f"{PER_CYCLE}[{place}]" if isinstance(budget.per_cycle, tuple) else PER_CYCLE
        sizes[key] = in_units(budget, pool, value, f"budget.{key}")
        left -= max(sizes[key], 1)
    return sizes


def planned_amount(budget: BudgetConfig, pool: PoolSizes, cycle: int, remaining: int) -> int:
    """Return the units that the query of `cycle` may cost.

    Sizes are differences of a rounded running total, so rounding errors do not add up to a cycle
    more or less.

    Args:
        pool: sizes of the pool.
        cycle: -2 is the random part of a start set in two parts, -1 the rest of it or the whole
            start set.
        remaining: units that are left of the whole budget.
    """
    unit, total = budget.unit, budget.unit.of_pool(pool)
    start = _start(budget, pool)
    seed = start * exact(budget.start_rule.seed_part)
    if cycle == SEED_CYCLE:
        return min(max(_whole(seed), 1), remaining)
    if cycle < 0:
        return min(_whole(start) - (max(_whole(seed), 1) if seed else 0), remaining)
    steps = [_exact(value, unit, total, "budget.per_cycle") for value in budget.steps]
    planned = _whole(start + _up_to(steps, cycle + 1)) - _whole(start + _up_to(steps, cycle))
    return min(max(planned, 1), remaining)


def _up_to(steps: Sequence[Fraction], count: int) -> Fraction:
    """Return the units of the first `count` queries after the start set; the last step repeats."""
    return sum(steps[:count], Fraction(0)) + max(0, count - len(steps)) * steps[-1]


def num_queries(budget: BudgetConfig, pool: PoolSizes, amount: int) -> int:
    """Return how many queries a budget of `amount` units pays after the start set, at least 1."""
    left = amount - planned_amount(budget, pool, START_CYCLE, amount)
    for cycle in range(len(budget.steps) - 1):
        step = planned_amount(budget, pool, cycle, amount)
        if left <= step:
            return cycle + 1
        left -= step
    last = len(budget.steps) - 1
    return last + max(1, -(-left // planned_amount(budget, pool, last, amount)))

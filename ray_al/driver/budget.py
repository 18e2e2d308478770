"""Amounts of a budget, from counts and shares to whole units."""

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pyarrow as pa

from ray_al.core.config import BudgetConfig, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.units import UNBOUNDED, Unit
from ray_al.core.shares import exact
from ray_al.core.types import SEED_CYCLE, START_CYCLE
from ray_al.driver.capacity import PER_CYCLE, check_capacity


def _exact(value: int | float, unit: Unit, total: int | None, key: str) -> Fraction:
    """`value` in units, of which the pool has `total`; decimal, so that six times 2 % is 12 % and not a little less."""
    if isinstance(value, int):
        return Fraction(value)
    if total is None:
        raise ConfigError(
            f"{key}={value}: a share of all {unit.name} is not known before they are made; give a number of {unit.name}"
        )
    return exact(value) * total


def _whole(units: Fraction) -> int:
    return int(units + Fraction(1, 2))


def in_units(budget: BudgetConfig, created: Mapping[str, Any], value: int | float, key: str) -> int:
    """A count or share in whole units of the budget.

    Raises:
        ConfigError: a share, of a unit of which nobody knows how many the pool has; names `key`.
    """
    return _whole(_exact(value, budget.unit, budget.unit.of_pool(created), key))


def total_amount(budget: BudgetConfig, created: Mapping[str, Any]) -> int:
    """The whole budget in units.

    Raises:
        ConfigError: it is more than the pool, or less than one unit.
    """
    total, unit = budget.unit.of_pool(created), budget.unit.name
    amount, start = (
        in_units(budget, created, value, f"budget.{key}")
        for key, value in (("amount", budget.amount), ("start", budget.start))
    )
    if total is not None and amount > total:
        raise ConfigError(
            f"budget.amount: {amount} {unit} are more than the pool's {total}; lower it"
        )
    if amount < 1 or start < 1:
        raise ConfigError(
            f"budget: start={budget.start} or amount={budget.amount} of {total} {unit} is less than one; raise it, or write a count"
        )
    return amount


def final_budgets(config: RunConfig, created: Mapping[str, Any]) -> tuple[int, ...]:
    """`final.budgets` in units."""
    return tuple(
        in_units(config.budget, created, value, "final.budgets") for value in config.final.budgets
    )


def check_final_budgets(config: RunConfig, created: Mapping[str, Any], amount: int) -> None:
    """Refuse budgets at which no model can be measured.

    Args:
        amount: the whole budget in units.

    Raises:
        ConfigError: naming the value and what it would have to be.
    """
    units, unit = final_budgets(config, created), config.budget.unit.name
    named = list(config.final.budgets)
    if any(one >= other for one, other in itertools.pairwise(units)):
        raise ConfigError(
            f"final.budgets: {named} are {list(units)} {unit}, which do not ascend; give each once, in ascending order"
        )
    if units and units[-1] > amount:
        raise ConfigError(
            f"final.budgets: {named[-1]} is {units[-1]} {unit}, more than budget.amount, {amount}; leave it out, or raise budget.amount"
        )
    start = in_units(config.budget, created, config.budget.start, "budget.start")
    if units and units[0] < start:
        raise ConfigError(
            f"final.budgets: {named[0]} is {units[0]} {unit}, less than budget.start, {start}, with which the first model is trained; "
            "leave it out, or lower budget.start"
        )


def region_sizes(config: RunConfig, manifest: pa.Table) -> tuple[int, int] | None:
    """Native pixels of the pool's smallest and largest region; None where only a pass over the images tells, or there is no region."""
    shapes = manifest.group_by(["height", "width"]).aggregate([]).to_pylist()
    sizes = [size for shape in shapes if (size := config.regions.region_sizes(**shape)) is not None]
    return (min(size[0] for size in sizes), max(size[1] for size in sizes)) if sizes else None


def check_budget(
    config: RunConfig, created: Mapping[str, Any], manifest: pa.Table, num_classes: int
) -> None:
    """Refuse budgets of which a query could never pay for a region, or could never be as large.

    Args:
        created: sizes of the pool: `num_images`, `num_regions`, `num_pixels`.

    Raises:
        ConfigError: naming the key, the value, and what a region costs or how many there can be.
    """
    budget = config.budget
    if budget.unit.of_pool(created) == 0 and config.regions.needs_maps:
        return  # shares of regions that are not known yet
    region, dearest = budget.unit.bounds(region_sizes(config, manifest), config.label, num_classes)
    amount = total_amount(budget, created)
    check_final_budgets(config, created, amount)
    sizes = {"start": query_size(budget, created, -1, UNBOUNDED)}
    if budget.start_rule.seed_part:
        sizes = {
            "start (its random part)": query_size(budget, created, SEED_CYCLE, UNBOUNDED),
            "start (the rest)": sizes["start"],
        }
    if sum(sizes.values()) > amount:
        raise ConfigError(
            f"budget.start={budget.start}: {sum(sizes.values())} {budget.unit.name} are more than budget.amount, {amount}; lower it"
        )
    later = _later_sizes(budget, created, amount - sum(sizes.values()))
    paying = (
        sizes if budget.unit.shows_late else {**sizes, **later}
    )  # then later cycles reserve more than they plan to spend
    for key, size in paying.items():
        if size < region:
            raise ConfigError(
                f"budget.{key}: {size} {budget.unit.name} pay for no region, for each of which {region} are reserved at least"
                f"{budget.unit.explain_bound(config.label)}; raise it"
            )
    left = amount - sum(sizes.values())
    for key, size in later.items():
        sizes[key], left = min(size, left), left - size
    check_capacity(config, sizes, amount, manifest, dearest)


def _later_sizes(budget: BudgetConfig, created: Mapping[str, Any], left: int) -> dict[str, int]:
    """Units of the queries after the start set, by the key that sets them; of those alone that `left` units, what the start set leaves, come to."""
    sizes: dict[str, int] = {}
    for place, value in enumerate(budget.steps):
        if left <= 0:
            break
        key = f"{PER_CYCLE}[{place}]" if isinstance(budget.per_cycle, tuple) else PER_CYCLE
        sizes[key] = in_units(budget, created, value, f"budget.{key}")
        left -= max(sizes[key], 1)
    return sizes


def query_size(budget: BudgetConfig, created: Mapping[str, Any], cycle: int, remaining: int) -> int:
    """Units that the query of `cycle` (-1: the start set, or the rest of it after -2) may cost.

    Sizes are differences of a rounded running total, so that rounding never adds up to a cycle more or less.
    """
    unit, total = budget.unit, budget.unit.of_pool(created)
    start = _exact(budget.start, unit, total, "budget.start")
    seed = start * exact(budget.start_rule.seed_part)
    if cycle == SEED_CYCLE:
        return min(max(_whole(seed), 1), remaining)
    if cycle < 0:
        return min(_whole(start) - (max(_whole(seed), 1) if seed else 0), remaining)
    steps = [_exact(value, unit, total, "budget.per_cycle") for value in budget.steps]
    planned = _whole(start + _up_to(steps, cycle + 1)) - _whole(start + _up_to(steps, cycle))
    return min(max(planned, 1), remaining)


def _up_to(steps: Sequence[Fraction], count: int) -> Fraction:
    """What `count` queries after the start set may cost together; the last of `steps` repeats."""
    return sum(steps[:count], Fraction(0)) + max(0, count - len(steps)) * steps[-1]


def num_queries(budget: BudgetConfig, created: Mapping[str, Any], amount: int) -> int:
    """How many queries the budget of `amount` units holds beside the start set, at least 1; for schedules."""
    left = amount - query_size(budget, created, START_CYCLE, amount)
    for cycle in range(len(budget.steps) - 1):
        step = query_size(budget, created, cycle, amount)
        if left <= step:
            return cycle + 1
        left -= step
    last = len(budget.steps) - 1
    return last + max(1, -(-left // query_size(budget, created, last, amount)))

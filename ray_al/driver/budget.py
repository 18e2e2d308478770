"""Amounts of a budget, from counts and shares to whole units."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ray_al.core.config import BudgetConfig
from ray_al.core.errors import ConfigError
from ray_al.core.types import SEED_CYCLE


def pool_units(created: Mapping[str, Any], unit: str) -> int | None:
    """Units of the whole pool, of which a share is meant: None for clicks, of which nobody knows how many there are."""
    keys = {"regions": "num_regions", "pixels": "num_pixels", "images": "num_images"}
    return int(created[keys[unit]]) if unit in keys else None


def _exact(value: int | float, total: int | None, key: str) -> Fraction:
    """`value` in units; decimal, so that six times 2 % is 12 % and not a little less."""
    if isinstance(value, int):
        return Fraction(value)
    if total is None:
        raise ConfigError(f"budget.{key}={value}: a share of all clicks is not known before they are made; give a number of clicks")
    return Fraction(str(value)) * total


def _whole(units: Fraction) -> int:
    return int(units + Fraction(1, 2))


def total_amount(budget: BudgetConfig, created: Mapping[str, Any]) -> int:
    """The whole budget in units.

    Raises:
        ConfigError: it is more than the pool, or less than one unit.
    """
    total = pool_units(created, budget.unit)
    amount, start = (_whole(_exact(value, total, key)) for key, value in (("amount", budget.amount), ("start", budget.start)))
    if total is not None and amount > total:
        raise ConfigError(f"budget.amount: {amount} {budget.unit} are more than the pool's {total}; lower it")
    if amount < 1 or start < 1:
        raise ConfigError(
            f"budget: start={budget.start} or amount={budget.amount} of {total} {budget.unit} is less than one; raise it, or write a count"
        )
    return amount


def query_size(budget: BudgetConfig, created: Mapping[str, Any], cycle: int, remaining: int) -> int:
    """Units that the query of `cycle` (-1: the start set, or the rest of it after -2) may cost.

    Sizes are differences of a rounded running total, so that rounding never adds up to a cycle more or less.
    """
    total = pool_units(created, budget.unit)
    start, step = _exact(budget.start, total, "start"), _exact(budget.per_cycle, total, "per_cycle")
    seed = start * Fraction(str(budget.seed_share)) if budget.start_rule == "class_aware" else Fraction(0)
    if cycle == SEED_CYCLE:
        return min(max(_whole(seed), 1), remaining)
    if cycle < 0:
        return min(_whole(start) - (max(_whole(seed), 1) if seed else 0), remaining)
    planned = _whole(start + (cycle + 1) * step) - _whole(start + cycle * step)
    return min(max(planned, 1), remaining)

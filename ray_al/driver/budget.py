"""Amounts of a budget, from counts and shares to whole units."""

from fractions import Fraction

from ray_al.core.config import BudgetConfig
from ray_al.core.errors import ConfigError


def _exact(value: int | float, total: int) -> Fraction:
    """`value` in units; decimal, so that six times 2 % is 12 % and not a little less."""
    return Fraction(value) if isinstance(value, int) else Fraction(str(value)) * total


def _whole(units: Fraction) -> int:
    return int(units + Fraction(1, 2))


def total_amount(budget: BudgetConfig, total: int) -> int:
    """The whole budget in units, of a pool of `total` units.

    Raises:
        ConfigError: it is more than the pool, or less than one unit.
    """
    amount = _whole(_exact(budget.amount, total))
    if amount > total:
        raise ConfigError(f"budget.amount: {amount} {budget.unit} are more than the pool's {total}; lower it")
    if amount < 1 or _whole(_exact(budget.start, total)) < 1:
        raise ConfigError(
            f"budget: start={budget.start} or amount={budget.amount} of {total} {budget.unit} is less than one; raise it, or write a count"
        )
    return amount


def query_size(budget: BudgetConfig, total: int, cycle: int, remaining: int) -> int:
    """Units that the query of `cycle` (-1: the start set) may cost.

    Sizes are differences of a rounded running total, so that rounding never adds up to a cycle more or less.
    """
    start, step = _exact(budget.start, total), _exact(budget.per_cycle, total)
    if cycle < 0:
        return min(_whole(start), remaining)
    planned = _whole(start + (cycle + 1) * step) - _whole(start + cycle * step)
    return min(max(planned, 1), remaining)

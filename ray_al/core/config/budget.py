"""The section `budget`: the whole budget, and its parts for the start set and each cycle."""

from typing import Annotated

from pydantic import Field, model_validator

from ray_al.core.config.values import Amount, Amounts
from ray_al.core.families.start import START_RULES, StartRule
from ray_al.core.families.units import UNITS, Unit
from ray_al.core.section import Section


class BudgetConfig(Section):
    """Settings of the budget, which includes the start set.

    Shares are of all regions of the pool, or of all its pixels, void included.
    """

    unit: Annotated[Unit, UNITS] = Field(default_factory=lambda: UNITS.parse("regions"))
    """Unit of the budget."""
    start: Amount = 0.02
    """Size of the start set, as a count or a share of the pool; the start rule `existing` takes all
    labels that exist instead.
    """
    start_rule: Annotated[StartRule, START_RULES] = Field(
        default_factory=lambda: START_RULES.parse("random"), validate_default=False
    )
    """How the start set is chosen: the kind alone, or a mapping with the settings of that kind."""
    per_cycle: Amounts = 0.02
    """Largest cost of each later query; a list gives one amount per cycle from cycle 0, and its
    last amount repeats.
    """
    amount: Amount = 0.12
    """The whole budget, including the start set, as a count or a share of the pool."""

    @model_validator(mode="after")
    def _start_fits(self) -> "BudgetConfig":
        if self.start_rule.takes_existing:
            return self
        if type(self.start) is type(self.amount) and self.start > self.amount:
            raise ValueError(
                f"start={self.start} is more than the whole amount={self.amount}; "
                "lower start or raise amount"
            )
        return self

    @property
    def steps(self) -> tuple[int | float, ...]:
        """Return `per_cycle` as a tuple, with one amount if all cycles have the same size."""
        return self.per_cycle if isinstance(self.per_cycle, tuple) else (self.per_cycle,)

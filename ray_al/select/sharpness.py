"""Set the sharpness of rules that draw at random over the cycles of a run."""

from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.families.batch import Moment
from ray_al.core.section import Positive, Section

GROWTH = 100.0

Schedule = Literal["constant", "exponential"]


class Sharpness(Section):
    """Settings of rules that draw at random: how strongly they prefer high scores."""

    beta: Positive = 1.0
    """How strongly high scores are preferred: towards 0 the draw is uniform, towards infinity the
    highest scores win.
    """
    schedule: Schedule = "constant"
    """Whether beta stays the same, or grows by the factor `growth` from the first cycle to the
    last, as in ClaSP PE.
    """
    growth: Annotated[float, Field(ge=1, le=1e9)] = GROWTH
    """With `schedule: exponential`, the factor by which beta grows from the first cycle to the
    last.
    """

    def sharpness(self, moment: Moment) -> float:
        """Return beta in a cycle."""
        return beta_at(
            self.beta, self.schedule, moment.cycle, moment.num_cycles, growth=self.growth
        )


def beta_at(
    beta: float, schedule: Schedule, cycle: int, num_cycles: int, *, growth: float = GROWTH
) -> float:
    """Return beta in a cycle: nearly random in early cycles, nearly top-k in late ones.

    Args:
        beta: its value in cycle 0.
        schedule: `constant`, or `exponential` for beta * growth^(t / (T - 1)). The default growth
            is from 1 to 100, as in ClaSP PE (nnActive).
        cycle: t, from 0; a cycle outside of 0 to T - 1 has the beta of the nearest cycle.
        num_cycles: T; if there is one cycle, beta is constant.
    """
    if schedule == "constant" or num_cycles <= 1:
        return beta
    last = num_cycles - 1
    return float(beta * growth ** (min(max(cycle, 0), last) / last))

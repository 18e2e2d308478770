"""Sharpness of the drawing rules over the cycles of a run."""

from typing import Literal

GROWTH = 100.0
"""By what beta has grown in the last cycle of the exponential schedule."""


def beta_at(beta: float, schedule: Literal["constant", "exponential"], cycle: int, num_cycles: int) -> float:
    """beta of a cycle: from nearly random in early cycles to nearly top-k in late ones.

    Args:
        beta: its value in cycle 0.
        schedule: `constant`, or `exponential`: beta * 100^(t / (T - 1)), ClaSP PE's 1 to 100 (nnActive).
        cycle: t, from 0; a cycle outside of 0 to T - 1 has the nearest one's beta.
        num_cycles: T; with one cycle beta stays as it is.
    """
    if schedule == "constant" or num_cycles <= 1:
        return beta
    last = num_cycles - 1
    return float(beta * GROWTH ** (min(max(cycle, 0), last) / last))

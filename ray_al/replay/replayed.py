"""What a replay found, and its table for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MAX_CHANGES = 3
"""Classes whose change is shown in a row."""


@dataclass(frozen=True, kw_only=True)
class ReplayedCycle:
    """The query of one cycle, chosen again.

    Attributes:
        overlap: share of the run's own query that is chosen again.
        known: share of the chosen regions that the run labelled at any time.
        class_shares: of the pixels of those regions; `class_shares_before` is the run's own.
    """

    cycle: int
    regions: int
    pixels: int
    images: int
    overlap: float
    known: float
    class_shares: tuple[float, ...]
    class_shares_before: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Functions:
    """Acquisition functions by whether the run holds what they need."""

    stored: tuple[str, ...]
    not_stored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A run replayed with another strategy.

    Attributes:
        strategy: the other strategy; `before` is the run's own.
    """

    run: str
    strategy: Mapping[str, Any]
    before: Mapping[str, Any]
    class_names: tuple[str, ...]
    functions: Functions
    cycles: tuple[ReplayedCycle, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain values for JSON."""
        return asdict(self)


def replay_text(replayed: Replayed) -> str:
    """Return the cycles as a table for people."""
    head = f"{'cycle':>5s} {'regions':>8s} {'pixels':>10s} {'images':>7s} {'overlap':>8s}"
    lines = [f"{head} {'known':>7s}  largest changes of class shares"]
    lines += [_cycle_text(cycle, replayed.class_names) for cycle in replayed.cycles]
    missing = ", ".join(replayed.functions.not_stored)
    return "\n".join([*lines, f"functions whose scores this run did not store: {missing}"])


def _cycle_text(cycle: ReplayedCycle, class_names: Sequence[str]) -> str:
    changes = np.subtract(cycle.class_shares, cycle.class_shares_before)
    largest = sorted(range(len(changes)), key=lambda index: -abs(changes[index]))[:MAX_CHANGES]
    shown = ", ".join(f"{class_names[index]} {100 * changes[index]:+.1f} %" for index in largest)
    return (
        f"{cycle.cycle:5d} {cycle.regions:8d} {cycle.pixels:10d} {cycle.images:7d} "
        f"{cycle.overlap:8.3f} {cycle.known:7.3f}  {shown}"
    )

"""The progress of a sweep while it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray_al.sweep.reporting import BudgetRow


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How far a trial is: its last cycle, the share of the pool it has spent, and its mIoU."""

    cycle: int
    budget: float
    miou: float

    @staticmethod
    def from_row(row: BudgetRow | dict[str, Any]) -> "Reached":
        """Take the numbers from a row that a trial reported."""
        return Reached(cycle=row["cycle"], budget=row["budget"], miou=row["miou"])


@dataclass(kw_only=True)
class SweepProgress:
    """The progress of a sweep.

    Attributes:
        total: trials of the whole sweep, those that Optuna has still to suggest included.
        reached: by name of the trial.
        done: state in which each ended trial ended.
        num_done_before: trials that earlier calls have ended.
        started: when this call began.
    """

    total: int
    reached: dict[str, Reached] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    done: dict[str, str] = field(default_factory=dict)
    num_done_before: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the pace of this call; None before a trial ended."""
        num_done = len(self.done) - self.num_done_before
        if num_done <= 0:
            return None
        elapsed = time.monotonic() - self.started
        return elapsed / num_done * (self.total - len(self.done))


Show = Callable[[SweepProgress], None]

"""What a trial reports: one row per cycle, and one row per rung at exactly the rung's budget."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ray_al.core.families.units import UNITS
from ray_al.ledger import State
from ray_al.report.rows import curve_rows
from ray_al.sweep.curves import aubc

Report = Callable[[Mapping[str, object]], None]
NEAR = 1e-9
"""Budgets, as shares of the pool, that differ by no more than this are the same."""


class BudgetRow(TypedDict):
    """What a cycle reports.

    `budget` is the cost so far as a share of the pool in the budget's unit, or of the whole budget
    if the unit has no total (clicks). `unit` is one unit as such a share, `aubc` the area under the
    curve so far, and `whole` marks the last row of a spent budget.
    """

    cycle: int
    miou: float
    pixel_accuracy: float | None
    labelled_regions: int
    labelled_pixels: int
    labelled_images: int
    cost: int
    budget: float
    unit: float
    aubc: float
    whole: bool


def budget_rows(state: State) -> list[BudgetRow]:
    """Return one row per trained cycle of a run."""
    total = UNITS.find(state.created.unit).of_pool(state.created.sizes) or state.amount
    rows = curve_rows(state)
    budgets = [row["cost"] / total for row in rows]
    mious = [row["miou"] for row in rows]
    last = len(rows) - 1 if state.remaining <= 0 else None
    return [
        {
            "cycle": row["cycle"],
            "miou": row["miou"],
            "pixel_accuracy": row["pixel_accuracy"],
            "labelled_regions": row["labelled_regions"],
            "labelled_pixels": row["labelled_pixels"],
            "labelled_images": row["labelled_images"],
            "cost": row["cost"],
            "budget": budgets[index],
            "unit": 1 / total,
            "aubc": aubc(budgets[: index + 1], mious[: index + 1]),
            "whole": index == last,
        }
        for index, row in enumerate(rows)
    ]


class Reporter:
    """Reports the new cycles of each state that it is called with, and the rungs they crossed.

    Args:
        rungs: budgets, as shares of the pool in the budget's unit, at which trials are compared.
        report: called with one row per cycle and one row per rung.
    """

    def __init__(self, rungs: Sequence[float], report: Report) -> None:
        self.rungs, self.report = sorted(rungs), report
        self._num_reported = 0

    def __call__(self, state: State) -> None:
        rows = budget_rows(state)
        for index in range(self._num_reported, len(rows)):
            self._report_rungs(rows[index - 1] if index else None, rows[index])
            self.report(rows[index])
        self._num_reported = len(rows)

    def _report_rungs(self, before: BudgetRow | None, row: BudgetRow) -> None:
        for rung in self.rungs:
            if is_crossed(rung, before, row):
                miou = interpolate(rung, before, row)
                self.report({"budget": rung, "rung_miou": miou, "cycle": row["cycle"]})


def is_crossed(rung: float, before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    """Return whether the curve reached `rung` between two rows.

    A rung below the first row counts as reached if rounding to whole units explains the difference.
    """
    if row["budget"] < rung - NEAR:
        return False
    if before is None:
        return bool(row["budget"] < rung + row["unit"])
    return bool(before["budget"] < rung - NEAR)


def interpolate(rung: float, before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> float:
    """Return the mIoU at the budget `rung`, on the line between two rows."""
    if before is None or abs(row["budget"] - rung) <= NEAR:
        return float(row["miou"])
    weight = (rung - before["budget"]) / (row["budget"] - before["budget"])
    return float(before["miou"] + weight * (row["miou"] - before["miou"]))

"""Runs as numbers, and groups of runs that differ in their seed only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_al.core.shares import exact
from ray_al.driver.cycles import CLOSE
from ray_al.sweep.naming import Setting, is_random_draw

AXES = {
    "share": "labelled share of the pool",
    "pixel_share": "labelled share of the pool's pixels",
    "pixels": "labelled pixels",
    "clicks": "clicks",
    "images": "images opened",
    "minutes": "minutes of labelling",
}
"""The axes of a curve, as people call them."""
SHARES = ("share", "pixel_share")
"""Axes that are shares of the pool."""
COLUMNS = {
    "share": "labelled_fraction",
    "pixel_share": "labelled_pixels",
    "pixels": "labelled_pixels",
    "clicks": "labelled_clicks",
    "images": "labelled_images",
    "minutes": "labelled_minutes",
}
"""The column from which each axis is made: of `curve.csv`, or `labelled_minutes`, which
`costs.with_minutes` adds."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished or unfinished run.

    Attributes:
        values: its configuration with dotted keys, without those that have no effect.
        pool: digest of the pool's images, however they are divided into regions.
        rows: of `curve.csv`.
        measured: the rows whose models were measured, with the metrics of the measured models.
        recipe: how measured models are trained, with dotted keys.
        seconds: of all cycles, without the models that are only measured.
        full: mean mIoU of the models trained on all labels; None if there are none.
        unit_total: units of the whole pool, of which budgets are shares; None for clicks.
        code: digests of the versions of the code that made it, `+` between them; empty if unknown.
        validation: digest of the images and masks on which it was scored; empty if unknown.
        config_digest: of the run's configuration; empty if unknown.
        sweep: place of the sweep that it belongs to; empty if none.
        group: name of its setting in that sweep; empty if none.
    """

    uri: str
    seed: int
    values: Mapping[str, Any]
    pool: str
    class_names: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    measured: tuple[Mapping[str, Any], ...]
    recipe: Mapping[str, Any]
    seconds: float
    class_pixels: tuple[float, ...]
    num_pixels: int
    num_images: int
    finished: bool
    full: float | None
    unit_total: int | None = None
    code: str = ""
    validation: str = ""
    config_digest: str = ""
    sweep: str = ""
    group: str = ""

    def has(self, axis: str) -> bool:
        """Return whether the run counted that axis; runs of early versions counted no clicks."""
        return all(row.get(COLUMNS[axis]) is not None for row in self.rows)

    def curve(self, axis: str) -> tuple[np.ndarray, np.ndarray]:
        """Return budgets and mIoU along an axis, shape (num_cycles,) each."""
        budgets = np.array([row[COLUMNS[axis]] for row in self.rows], dtype=np.float64)
        if axis == "pixel_share":
            budgets = budgets / self.num_pixels
        return budgets, np.array([row["miou"] for row in self.rows])

    def score_at(self, budget: int | float, measure: str) -> float | None:
        """Return the score of the first models whose labels reach a budget; None if none do.

        A query may be unable to spend all of its units because no region is small enough. As for
        models that are measured, a budget counts as reached if less than `CLOSE` of a query is
        missing.

        Args:
            budget: a count of units, or a share.
            measure: `miou` of the models that choose, or `final_miou` of the measured ones.
        """
        if isinstance(budget, float) and self.unit_total is None:
            return None  # clicks have no total of which this could be a share
        units = budget if isinstance(budget, int) else round(exact(budget) * (self.unit_total or 0))
        if measure == "final_miou":
            reached = [(row["final_budget"], row["miou"]) for row in self.measured]
        else:
            costs = [0, *(row["cost"] for row in self.rows)]
            reached = [
                (cost + CLOSE * (cost - before), row["miou"])
                for before, cost, row in zip(costs[:-1], costs[1:], self.rows, strict=True)
            ]
        return next((float(miou) for amount, miou in reached if amount >= units), None)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ in their seed only.

    Attributes:
        label: its name for people.
        setting: the keys in which it differs from other groups.
    """

    label: str
    setting: Setting
    runs: tuple[RunResult, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the runs."""
        return tuple(run.seed for run in self.runs)

    @property
    def is_random(self) -> bool:
        """Whether the runs draw regions at random."""
        return is_random_draw(self.runs[0].values)

    def has(self, axis: str) -> bool:
        """Return whether all runs counted that axis."""
        return all(run.has(axis) for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """Runs that can be compared.

    Attributes:
        apart: (run, reason) of those that cannot.
        keys: configuration keys in which the groups differ.
        axis: the budget axis that means the same in all of them.
    """

    groups: tuple[Group, ...]
    apart: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    axis: str = "share"

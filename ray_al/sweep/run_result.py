"""Runs as numbers, and groups of them that differ in their seed alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_al.core.shares import exact

COLUMNS = {
    "share": "labelled_fraction",
    "pixel_share": "labelled_pixels",
    "pixels": "labelled_pixels",
    "clicks": "labelled_clicks",
    "images": "labelled_images",
    "minutes": "labelled_minutes",
}
"""Axes of a curve, and the column that each is made of: of `curve.csv`, and `labelled_minutes`, which
`costs.with_minutes` adds."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished or unfinished run.

    Attributes:
        values: its configuration with dotted keys, without what has no effect.
        pool: digest of the pool's images, however they are divided into regions.
        rows: of `curve.csv`.
        measured: those of them whose models were measured, with the metrics of these.
        recipe: how measured models are trained, with dotted keys.
        seconds: of all cycles, without the models that are only measured.
        full: mean mIoU of the models trained on all labels, None where there are none.
        unit_total: units of the whole pool, of which budgets are shares; None for clicks.
        code: digests of the versions of the code that made it, `+` between several; empty where unknown.
        validation: digest of the images and masks that scores come from; empty where unknown.
        config_digest: of the run's configuration; empty where unknown.
        sweep: place of the sweep that it belongs to, `group` the name of its setting there; else empty.
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
        """Whether the run counted that axis; runs of earlier versions counted no clicks."""
        return all(row.get(COLUMNS[axis]) is not None for row in self.rows)

    def curve(self, axis: str) -> tuple[np.ndarray, np.ndarray]:
        """Budgets and mIoU, shape (num_cycles,) each, along an axis of `COLUMNS`."""
        budgets = np.array([row[COLUMNS[axis]] for row in self.rows], dtype=np.float64)
        return budgets / self.num_pixels if axis == "pixel_share" else budgets, np.array(
            [row["miou"] for row in self.rows]
        )

    def score_at(self, budget: int | float, measure: str) -> float | None:
        """The score of the first models whose labels reach `budget`, a count or a share; None where none do.

        Args:
            measure: `miou` of the models that choose, or `final_miou` of the measured ones.
        """
        if isinstance(budget, float) and self.unit_total is None:
            return None  # of clicks there is no share
        units = budget if isinstance(budget, int) else round(exact(budget) * (self.unit_total or 0))
        rows, key = (
            (self.measured, "final_budget") if measure == "final_miou" else (self.rows, "cost")
        )
        return next((float(row["miou"]) for row in rows if row[key] >= units), None)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ in their seed alone."""

    label: str
    setting: Mapping[str, Any]
    runs: tuple[RunResult, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def is_random(self) -> bool:
        values = self.runs[0].values
        return bool(
            values["strategy.score"] == "random" and values["strategy.batch.kind"] == "topk"
        )


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

"""The facts of a comparison at equal budgets, as values; `json_values` makes plain ones of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray_al.compare.costs import CostNotes
from ray_al.compare.endpoints import Endpoint
from ray_al.compare.saved import Saved
from ray_al.compare.significance import StrategyTests
from ray_al.compare.stats import Interval
from ray_al.sweep.naming import Setting


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A run that is not comparable."""

    run: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class MeanCurve:
    """The mean curve of a group over its seeds, with the ends of 95 % intervals.

    Attributes:
        x: budgets.
        low: None for a single seed, as is `high`.
    """

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class AtBudget:
    """The mean mIoU of a group at a budget, with the ends of its 95 % interval."""

    budget: float
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ShareOfFull:
    """The final mIoU as a share of a full score, with the ends of its 95 % interval.

    Attributes:
        full: mIoU of models that are trained on all labels.
    """

    full: float
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class GroupFacts:
    """One strategy of a comparison.

    Attributes:
        runs: places of its runs.
        curves: the mean curve along each axis that its runs counted.
        aubc: area under the curve on the common budgets; `aubc_log` over their logarithm.
        at: mIoU at the budgets of the comparison.
        final: mIoU at the last common budget.
        full_own: share of the full score of its own recipe; None if unknown.
        full_best: share of the best full score of all strategies; None if unknown.
        saved: labels saved against the reference; None for the reference itself.
        classes: IoU of each class after the last cycle; None if it is not defined.
        labelled_classes: share of each class in the labelled pixels.
        pixels: labelled in the end, mean over seeds; likewise `images`, `clicks` and `minutes`,
            the last two None if they were not counted.
        seconds: of all cycles, mean over seeds.
    """

    label: str
    setting: Setting
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    curves: Mapping[str, MeanCurve]
    aubc: Interval
    aubc_log: Interval
    aubc_by_seed: tuple[float, ...]
    at: tuple[AtBudget, ...]
    final: Interval
    full_own: ShareOfFull | None
    full_best: ShareOfFull | None
    saved: Saved | None
    classes: Mapping[str, Interval | None]
    rare_miou: Interval | None
    labelled_classes: Mapping[str, float]
    pixels: float
    images: float
    clicks: float | None
    minutes: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All facts of a comparison at equal budgets.

    Attributes:
        keys: configuration keys in which the strategies differ.
        axis: the budget axis.
        measure: the score, one of `MEASURES`.
        apart: runs that are not comparable.
        reference: label of the strategy against which labels are saved; None if there is none.
        rare_classes: classes with few labelled pixels.
        grid: the common budgets.
        groups: the strategies, the reference first.
        seeds: those that all strategies have, on which the tests are made.
        tests: None if there is a single strategy or a single common seed.
        too_few: a warning about the number of seeds; None if there is none.
        endpoints: of the sweeps whose files name one.
        costs: the model of labelling costs; None if it was not used.
    """

    keys: tuple[str, ...]
    axis: str
    measure: str
    apart: tuple[Excluded, ...]
    reference: str | None
    class_names: tuple[str, ...]
    rare_classes: tuple[str, ...]
    grid: tuple[float, ...]
    groups: tuple[GroupFacts, ...]
    seeds: tuple[int, ...]
    tests: StrategyTests | None
    too_few: str | None
    endpoints: tuple[Endpoint, ...] = ()
    costs: CostNotes | None = None

    def json_values(self) -> dict[str, Any]:
        """Return the facts as plain values, in the order of the attributes."""
        return asdict(self)

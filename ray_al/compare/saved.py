"""Labels saved against a reference at equal mIoU: in the axis compared, pixels, clicks, minutes.

Two questions can be asked. How many labels does the reference need for the score that a strategy
reaches with its last budget? This needs a reference that was measured beyond that budget.
Otherwise: how many labels does the strategy need for the score that the reference reaches with its
own last budget? Which one is asked depends on budgets alone, never on scores. Both are charged the
budget at which they first reach the score, so equal curves save nothing: a curve may fall after it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ray_al.compare.reach import (
    Bounds,
    Curves,
    Estimate,
    Known,
    SeedCurves,
    bounds,
    estimate,
    estimate_text,
    exact,
    paired_draws,
    reach,
    seed_curves,
    share_saved,
)
from ray_al.compare.run_result import Group
from ray_al.core.shares import percent

POINTS = 25
"""Scores at which the curve of labels saved is drawn."""
COSTS = ("pixels", "clicks", "minutes")
BEYOND = 1.001
"""Factor over a strategy's last budget: a reference measured beyond it goes further."""


@dataclass(frozen=True, kw_only=True)
class SavedPoint:
    """Labels saved at one budget of a strategy.

    Attributes:
        reference_budget: the budget that the reference needs for the same mIoU.
    """

    budget: float
    miou: float
    reference_budget: Bounds
    saved: Estimate


@dataclass(frozen=True, kw_only=True)
class SavedCurve:
    """Labels saved over the scores that both mean curves reach; None if not known."""

    miou: tuple[float, ...]
    saved: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Saved(Estimate):
    """The share of labels that a strategy saves: one figure, and its details.

    Attributes:
        target: the score that both reach.
        forward: whether the target is the strategy's score, not the reference's.
        costs: the same figure in each of `COSTS` that all runs counted.
        points: at each budget of the strategy.
    """

    target: float
    forward: bool
    costs: Mapping[str, Estimate]
    points: tuple[SavedPoint, ...]
    curve: SavedCurve


def labels_saved(group: Group, base: Group, axis: str) -> Saved:
    """Return the labels that `group` saves against `base`."""
    own, other = seed_curves(group, axis), seed_curves(base, axis)
    forward = bool(other.mean[0][0, -1] > BEYOND * own.mean[0][0, -1])
    share = _share_at_own_score if forward else _share_at_other_score
    target = (own if forward else other).mean[1][0, -1]
    runs = (*group.runs, *base.runs)
    costs = {
        cost: _saved(seed_curves(group, cost), seed_curves(base, cost), share)
        for cost in COSTS
        if all(run.has(cost) for run in runs)
    }
    return Saved(
        **asdict(_saved(own, other, share)),
        target=float(target),
        forward=forward,
        costs=costs,
        points=tuple(_point(own.last(number), other) for number in range(own.x.shape[1])),
        curve=_curve(own, other),
    )


def _saved(
    own: SeedCurves, other: SeedCurves, share: Callable[[Curves, Curves], Known]
) -> Estimate:
    draws = paired_draws(own, other)
    drawn = None
    if draws is not None:
        drawn = share(own.means(draws[0]), other.means(draws[1]))
    return estimate(share(own.mean, other.mean), drawn)


def _share_at_own_score(own: Curves, other: Curves) -> Known:
    """Return the share that `own` saves at the score of its last budget."""
    return _share_at(own[1][:, -1], own, other)


def _share_at_other_score(own: Curves, other: Curves) -> Known:
    """Return the share that `own` saves at the score of the last budget of `other`."""
    return _share_at(other[1][:, -1], own, other)


def _share_at(target: np.ndarray, own: Curves, other: Curves) -> Known:
    return share_saved(reach(*own, target), reach(*other, target))


def _share_at_own_budget(own: Curves, other: Curves) -> Known:
    """Return the share that the last budget of `own` saves, even if it reached its score before."""
    return share_saved(exact(own[0][:, -1]), reach(*other, own[1][:, -1]))


def _point(own: SeedCurves, other: SeedCurves) -> SavedPoint:
    """Return the labels saved at the last budget of `own`."""
    x, y = own.mean
    return SavedPoint(
        budget=float(x[0, -1]),
        miou=float(y[0, -1]),
        reference_budget=bounds(reach(*other.mean, y[:, -1])),
        saved=_saved(own, other, _share_at_own_budget),
    )


def _curve(own: SeedCurves, other: SeedCurves) -> SavedCurve:
    (x, y), (base_x, base_y) = own.mean, other.mean
    targets = np.linspace(max(y[0, 0], base_y[0, 0]), min(y.max(), base_y.max()), POINTS)
    rows = [np.repeat(array, POINTS, axis=0) for array in (x, y, base_x, base_y)]
    low, high = share_saved(reach(rows[0], rows[1], targets), reach(rows[2], rows[3], targets))
    ends = zip(low.tolist(), high.tolist(), strict=True)
    return SavedCurve(
        miou=tuple(targets.tolist()),
        saved=tuple(least if least == most else None for least, most in ends),
    )


def saved_sentence(label: str, reference: str, saved: Saved) -> str:
    """Return a sentence such as `At mIoU 0.5352 bvsb saves 56 [51, 60] % of random's labels.`"""
    parts = [f"{percent_text(saved)} % of {reference}'s labels"]
    parts += [
        f"{percent_text(saved.costs[cost])} % of its {cost}"
        for cost in ("clicks", "minutes")
        if cost in saved.costs
    ]
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"At mIoU {saved.target:.4f} {label} saves {listed}."


def percent_text(saved: Estimate | None) -> str:
    """Return a share of labels saved in %, without the unit; a dash for None."""
    return estimate_text(saved, show=lambda share: f"{100 * share:.0f}", ceiling=1.0)


def needed_text(budget: Bounds, is_share: bool) -> str:
    """Return the budget that the reference needs: in % if budgets are shares."""
    if is_share:
        return estimate_text(budget, show=percent, floor=0.0) + " %"
    return estimate_text(budget, floor=0.0)

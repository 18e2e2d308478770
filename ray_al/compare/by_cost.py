"""The cost of reaching a share of the full score, by strategy and by granularity.

Granularities are whole images, regions, cells of a grid and pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ray_al.compare.costs import CostNotes
from ray_al.compare.endpoints import Endpoint
from ray_al.compare.facts import Excluded
from ray_al.compare.labels import granularity, regions_of
from ray_al.compare.reach import (
    Curves,
    Estimate,
    Known,
    SeedCurves,
    estimate,
    estimate_text,
    paired_draws,
    reach,
    seed_curves,
    share_saved,
)
from ray_al.compare.run_result import Group
from ray_al.compare.stats import bootstrap_mean
from ray_al.core.errors import ConfigError
from ray_al.core.shares import percent

FREE = ("budget.unit", "budget.start", "budget.start_rule")
"""Keys of the recipe in which runs may differ if only their costs are compared."""
SHARES = (0.8, 0.9, 0.95)
"""Shares of the full score."""
AXES = {"pixel_share": "pixels", "clicks": "clicks", "minutes": "minutes"}
"""Axes along which costs are given, with their names in columns."""


@dataclass(frozen=True, kw_only=True)
class CostCurve:
    """The curve of one strategy: share of the full score against its costs.

    Attributes:
        seeds: their number.
        granularity: how images are divided, for people.
        minutes: after each cycle, mean over seeds; likewise `clicks` and `pixel_share`.
        mean: share of the full score, with `low` and `high`, the ends of 95 % intervals.
    """

    label: str
    seeds: int
    granularity: str
    is_random: bool
    minutes: tuple[float, ...]
    clicks: tuple[float, ...]
    pixel_share: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """The costs at which one strategy reaches a share of the full score.

    Attributes:
        budgets: along each axis that was counted.
        saved: share of the reference's costs that the strategy saves.
    """

    label: str
    seeds: tuple[int, ...]
    share: float
    budgets: Mapping[str, Estimate]
    saved: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class CostComparison:
    """All facts of a comparison by costs.

    Attributes:
        curves: of the strategies whose minutes are known.
        full: the full score, mean over all runs.
        reference: label of the strategy whose costs are saved; None if there is none.
        apart: runs that are not comparable.
        keys: configuration keys in which the strategies differ.
        endpoints: of the sweeps whose files name one.
        costs: the model of labelling costs; None if it was not used.
        measure: the score.
    """

    curves: tuple[CostCurve, ...]
    full: float
    reference: str | None
    num_images: int
    rows: tuple[CostRow, ...]
    apart: tuple[Excluded, ...] = ()
    keys: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    costs: CostNotes | None = None
    measure: str = "miou"

    def json_values(self) -> dict[str, Any]:
        """Return the facts as plain values, in the order of the attributes."""
        return asdict(self)


def full_scores(groups: Sequence[Group]) -> dict[str, float]:
    """Return the full score that each run's score is a share of, by place of the run.

    This is the full score of its own seed, else the mean of its group's, else the mean of all. All
    labels are the same however they are divided, so the mean of all groups of one pool and recipe
    serves a group that has none.

    Raises:
        ConfigError: no run has a full score.
    """
    known = [run.full for group in groups for run in group.runs if run.full is not None]
    if not known:
        raise ConfigError(
            "no run has a score with all labels, of which a share could be given; "
            "make one with `ray-al upper-bound RUN_DIR`"
        )
    scores = {}
    for group in groups:
        own = [run.full for run in group.runs if run.full is not None] or known
        mean = float(np.mean(own))
        scores.update({run.uri: mean if run.full is None else run.full for run in group.runs})
    return scores


def whole_images_at_random(groups: Sequence[Group]) -> Group | None:
    """Return the group that labels whole images at random, as people do today, if there is one."""
    for group in groups:
        if group.is_random and regions_of(group.runs[0].values).is_whole_image:
            return group
    return None


def compare_costs(groups: Sequence[Group], reference: Group | None) -> CostComparison:
    """Compare the costs of reaching `SHARES` of the full score.

    Args:
        reference: group whose costs are saved; None for whole images at random, if there are any.

    Raises:
        ConfigError: no run has a full score.
    """
    scores, base = full_scores(groups), reference or whole_images_at_random(groups)
    curves = {group.label: _curves_by_axis(group, scores) for group in groups}
    base_curves = curves[base.label] if base else None
    rows = []
    for share in SHARES:
        for group in groups:
            own = curves[group.label]
            rows.append(
                CostRow(
                    label=group.label,
                    seeds=group.seeds,
                    share=share,
                    budgets={axis: _budget(curve, share) for axis, curve in own.items()},
                    saved=_saved_by_axis(own, base_curves, share),
                )
            )
    drawn = [_curve(group, curves[group.label]) for group in groups if group.has("minutes")]
    return CostComparison(
        curves=tuple(drawn),
        full=float(np.mean([scores[run.uri] for group in groups for run in group.runs])),
        reference=base.label if base else None,
        num_images=groups[0].runs[0].num_images,
        rows=tuple(rows),
    )


def _curve(group: Group, curves: Mapping[str, SeedCurves]) -> CostCurve:
    intervals = [bootstrap_mean(column) for column in curves["minutes"].y.T]
    values = group.runs[0].values
    x = {axis: tuple(curves[axis].x.mean(axis=0).tolist()) for axis in AXES}
    return CostCurve(
        label=group.label,
        seeds=len(group.seeds),
        granularity=granularity(values, values),
        is_random=group.is_random,
        minutes=x["minutes"],
        clicks=x["clicks"],
        pixel_share=x["pixel_share"],
        mean=tuple(interval.mean for interval in intervals),
        low=tuple(interval.low for interval in intervals),
        high=tuple(interval.high for interval in intervals),
    )


def _curves_by_axis(group: Group, scores: Mapping[str, float]) -> dict[str, SeedCurves]:
    """Return the share of the full score along each axis that the group's runs counted."""
    scales = [scores[run.uri] for run in group.runs]
    return {axis: seed_curves(group, axis, scales) for axis in AXES if group.has(axis)}


def _reach(curves: Curves, share: float) -> Known:
    x, y = curves
    return reach(x, y, np.full(len(x), share))


def _budget(own: SeedCurves, share: float) -> Estimate:
    draws = paired_draws(own, own)
    drawn = None if draws is None else _reach(own.means(draws[0]), share)
    return estimate(_reach(own.mean, share), drawn)


def _saved_by_axis(
    own: Mapping[str, SeedCurves], base: Mapping[str, SeedCurves] | None, share: float
) -> dict[str, Estimate]:
    if base is None or base is own:
        return {}
    return {axis: _saved(curves, base[axis], share) for axis, curves in own.items() if axis in base}


def _saved(own: SeedCurves, base: SeedCurves, share: float) -> Estimate:
    draws = paired_draws(own, base)
    drawn = None
    if draws is not None:
        drawn = share_saved(_reach(own.means(draws[0]), share), _reach(base.means(draws[1]), share))
    return estimate(share_saved(_reach(own.mean, share), _reach(base.mean, share)), drawn)


def cost_text(facts: CostComparison, costs: str) -> str:
    """Return one table per share of the full score.

    Args:
        costs: the settings of the cost model.
    """
    width = max(len("strategy"), *(len(row.label) for row in facts.rows))
    against = f"minutes saved against {facts.reference} (%)" if facts.reference else ""
    head = f"  {'strategy':{width}s} seeds  {'% of the pixels':28s} {'clicks an image':28s}"
    lines = [f"all labels: mIoU {facts.full:.4f}; minutes: {costs}"]
    for share in dict.fromkeys(row.share for row in facts.rows):
        lines.append(f"{100 * share:.0f} % of all labels' mIoU needs:")
        lines.append(f"{head} {'minutes':28s} {against}".rstrip())
        lines += [
            _cost_line(row, width, facts.num_images) for row in facts.rows if row.share == share
        ]
    return "\n".join(lines)


def _cost_line(row: CostRow, width: int, num_images: int) -> str:
    budgets = row.budgets
    pixels = estimate_text(budgets.get("pixel_share"), show=percent, floor=0.0)
    clicks = estimate_text(
        budgets.get("clicks"), show=lambda clicks: f"{clicks / num_images:.1f}", floor=0.0
    )
    minutes = estimate_text(budgets.get("minutes"), floor=0.0)
    saved = ""
    if row.saved:
        saved = estimate_text(row.saved.get("minutes"), show=_tenths, ceiling=1.0)
    numbers = f"{pixels:28s} {clicks:28s} {minutes:28s} {saved}"
    return f"  {row.label:{width}s} {len(row.seeds):5d}  {numbers}".rstrip()


def cost_sentence(facts: CostComparison, share: float = 0.9) -> str | None:
    """Return how many minutes the cheapest strategy saves, as a sentence.

    Returns:
        None if no strategy is known to reach `share` of the full score.
    """
    rows = [row for row in facts.rows if row.share == share and "minutes" in row.saved]
    known = [(row.budgets["minutes"].value, row) for row in rows if _is_known(row)]
    _, best = min(known, key=lambda pair: pair[0] or 0.0, default=(None, None))
    if best is None:
        return None
    saved = estimate_text(best.saved["minutes"], show=_tenths, ceiling=1.0)
    minutes = estimate_text(best.budgets["minutes"])
    pixels = estimate_text(best.budgets["pixel_share"], show=percent)
    return (
        f"{100 * share:.0f} % of the mIoU of all labels takes {minutes} minutes with {best.label}, "
        f"the cheapest of those whose intervals have an upper end ({len(known)} of {len(rows)}; "
        f"{pixels} % of the pixels): {saved} % less than with "
        f"{facts.reference} (means and 95 % intervals over {len(best.seeds)} seeds)."
    )


def _tenths(share: float) -> str:
    """Return a share in %, without the unit."""
    return f"{100 * share:.1f}"


def _is_known(row: CostRow) -> bool:
    """Return whether the minutes of a row, and the upper end of their interval, are known."""
    minutes = row.budgets["minutes"]
    return minutes.value is not None and not minutes.open_high

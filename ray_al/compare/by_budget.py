"""Strategies compared at equal budgets, over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.compare.facts import (
    AtBudget,
    Comparison,
    Excluded,
    GroupFacts,
    MeanCurve,
    ShareOfFull,
)
from ray_al.compare.run_result import AXES, SHARES, Group, Grouped, RunResult
from ray_al.compare.saved import labels_saved
from ray_al.compare.significance import run_tests, seeds_warning
from ray_al.compare.stats import Interval, bootstrap_mean
from ray_al.core.errors import ConfigError
from ray_al.sweep.curves import aubc, value_at

RARE = 0.02
"""A class with less than this share of the reference's labelled pixels is rare."""
NEAR = 1e-9
"""Budgets that differ by no more than this are the same; they are rounded to `DIGITS`."""
DIGITS = 9

MEASURES = {"miou": "models that choose", "final_miou": "measured models"}
"""The scores by which strategies are compared, and whose scores they are."""


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What all groups of a comparison share.

    Attributes:
        base: the reference; None if there is none.
        grid: the common budgets.
        budgets: budgets at which mIoU is wanted.
        rare: rare classes.
        best_full: best full score of all runs; None if there is none.
    """

    base: Group | None
    axis: str
    grid: np.ndarray
    budgets: np.ndarray
    rare: tuple[str, ...]
    best_full: float | None


def compare(
    grouped: Grouped,
    *,
    measure: str = "miou",
    at: Sequence[float] = (),
    reference: str | None = None,
) -> Comparison:
    """Compare groups of runs at equal budgets.

    Args:
        measure: one of `MEASURES`; the rows of the runs hold it as their `miou`.
        at: budgets at which mIoU is wanted: shares of the pool, or clicks if those are compared.
            By default the budgets of the curves' cycles.
        reference: label of the strategy against which labels are saved; by default random choice.

    Raises:
        ConfigError: there is no such reference, or the curves have no budget in common.
    """
    groups = list(grouped.groups)
    base = _reference(groups, reference)
    if base is not None:
        groups.sort(key=lambda group: group is not base)
    frame = _frame(groups, base, grouped.axis, measure, at)
    seeds = sorted(set.intersection(*(set(group.seeds) for group in groups)))
    tests, warning = None, None
    if len(groups) > 1:
        warning = seeds_warning(len(seeds))
        if len(seeds) > 1:
            values = [
                on_grid(_with_seeds(group, seeds), frame.axis, frame.grid) for group in groups
            ]
            tests = run_tests([group.label for group in groups], values, frame.grid)
    return Comparison(
        keys=grouped.keys,
        axis=grouped.axis,
        measure=measure,
        apart=tuple(Excluded(run=uri, reason=reason) for uri, reason in grouped.apart),
        reference=base.label if base else None,
        class_names=groups[0].runs[0].class_names,
        rare_classes=frame.rare,
        grid=tuple(frame.grid.tolist()),
        groups=tuple(_group_facts(group, frame) for group in groups),
        seeds=tuple(seeds),
        tests=tests,
        too_few=warning,
    )


def _frame(
    groups: Sequence[Group], base: Group | None, axis: str, measure: str, at: Sequence[float]
) -> _Frame:
    if at and axis not in SHARES:
        raise ConfigError(
            f"--at {at[0]:g}: these runs are compared by {AXES[axis]}, of which the pool has no "
            "share; leave --at out"
        )
    grid = common_grid(groups, axis, only_shared=measure == "final_miou")
    budgets = np.array(sorted(set(at))) if at else grid
    outside = [budget for budget in budgets if not grid[0] - NEAR <= budget <= grid[-1] + NEAR]
    if outside:
        raise ConfigError(
            f"--at {outside[0]:g}: the runs' common budgets go from {grid[0]:g} to {grid[-1]:g}; "
            "give a share between them"
        )
    fulls = [run.full for group in groups for run in group.runs if run.full is not None]
    return _Frame(
        base=base,
        axis=axis,
        grid=grid,
        budgets=budgets,
        rare=_rare_classes(base or groups[0]),
        best_full=max(fulls, default=None),
    )


def _reference(groups: Sequence[Group], label: str | None) -> Group | None:
    if label is None:
        return next((group for group in groups if group.is_random), None)
    return find_reference(groups, label)


def find_reference(groups: Sequence[Group], label: str) -> Group:
    """Return the group of that label.

    Raises:
        ConfigError: there is none.
    """
    for group in groups:
        if group.label == label:
            return group
    labels = ", ".join(group.label for group in groups)
    raise ConfigError(f"--reference {label!r}: no such strategy; there are {labels}")


def _with_seeds(group: Group, seeds: Sequence[int]) -> Group:
    runs = tuple(run for run in group.runs if run.seed in seeds)
    return Group(label=group.label, setting=group.setting, runs=runs)


def common_grid(groups: Sequence[Group], axis: str, *, only_shared: bool = False) -> np.ndarray:
    """Return the budgets of all curves' points within the budgets that every curve covers.

    Args:
        only_shared: return only budgets that all curves have, if there are two or more of these. A
            curve that was measured more often than the others would otherwise have the larger area
            below it, as curves bend.

    Raises:
        ConfigError: the curves have no budget in common.
    """
    curves = [run.curve(axis)[0] for group in groups for run in group.runs]
    low, high = max(x[0] for x in curves), min(x[-1] for x in curves)
    if low > high:
        raise ConfigError(
            f"the curves have no budget in common: one starts at {low:g}, another ends at "
            f"{high:g} ({AXES[axis]})"
        )
    inside = np.concatenate([x[(x >= low - NEAR) & (x <= high + NEAR)] for x in curves])
    points = np.unique(inside.round(DIGITS))
    shared = [point for point in points if all(_has_point(x, point) for x in curves)]
    return np.array(shared) if only_shared and len(shared) > 1 else points


def _has_point(budgets: np.ndarray, point: float) -> bool:
    return bool(np.isclose(budgets, point, rtol=1e-6, atol=NEAR).any())


def on_grid(group: Group, axis: str, grid: np.ndarray) -> np.ndarray:
    """Return the mIoU of each run at the budgets of `grid`, shape (num_seeds, num_budgets)."""
    return np.stack([_on_grid(run, axis, grid) for run in group.runs])


def _on_grid(run: RunResult, axis: str, grid: np.ndarray) -> np.ndarray:
    budgets, values = run.curve(axis)
    return value_at(budgets, values, np.clip(grid, budgets[0], budgets[-1]))


def _group_facts(group: Group, frame: _Frame) -> GroupFacts:
    grid, axis = frame.grid, frame.axis
    values = on_grid(group, axis, grid)
    finals = values[:, -1]
    areas = [aubc(grid, row) for row in values]
    saved = None
    if frame.base is not None and group is not frame.base and len(grid) > 1:
        saved = labels_saved(group, frame.base, axis)
    return GroupFacts(
        label=group.label,
        setting=dict(group.setting),
        seeds=group.seeds,
        runs=tuple(run.uri for run in group.runs),
        curves=dict(_curves(group, axis)),
        aubc=bootstrap_mean(areas),
        aubc_log=bootstrap_mean([aubc(grid, row, log=True) for row in values]),
        aubc_by_seed=tuple(areas),
        at=tuple(_at_budget(group, axis, float(budget)) for budget in frame.budgets),
        final=bootstrap_mean(finals),
        full_own=_share_of_own(group, finals),
        full_best=_share_of_best(finals, frame.best_full),
        saved=saved,
        classes=_class_table(group),
        rare_miou=_rare_miou(group, frame.rare),
        labelled_classes=_labelled_shares(group),
        pixels=float(np.mean([run.rows[-1]["labelled_pixels"] for run in group.runs])),
        images=float(np.mean([run.rows[-1]["labelled_images"] for run in group.runs])),
        clicks=_last(group, "clicks"),
        minutes=_last(group, "minutes"),
        seconds=float(np.mean([run.seconds for run in group.runs])),
    )


def _at_budget(group: Group, axis: str, budget: float) -> AtBudget:
    interval = bootstrap_mean(on_grid(group, axis, np.array([budget]))[:, 0])
    return AtBudget(budget=budget, mean=interval.mean, low=interval.low, high=interval.high)


def _last(group: Group, axis: str) -> float | None:
    """Return the cost of all labels, mean over seeds; None if it was not counted."""
    if not group.has(axis):
        return None
    return float(np.mean([run.curve(axis)[0][-1] for run in group.runs]))


def _curves(group: Group, axis: str) -> Iterator[tuple[str, MeanCurve]]:
    """Yield the mean curves along the axis of the comparison, and along all that were counted.

    Other shares are left out: they are shares of something else in each group.
    """
    for name in AXES:
        if name == axis:
            yield name, _mean_curve(*_at_equal_budgets(group, name))
        elif name not in SHARES and group.has(name):
            yield name, _mean_curve(*_cycle_by_cycle(group, name))


def _at_equal_budgets(group: Group, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Return budgets that all seeds cover, and the mIoU of each seed there."""
    curves = [run.curve(axis) for run in group.runs]
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    points = np.unique(np.clip(np.concatenate([x for x, _ in curves]), low, high).round(DIGITS))
    values = [value_at(x, y, np.clip(points, x[0], x[-1])) for x, y in curves]
    return points, np.stack(values)


def _cycle_by_cycle(group: Group, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean budget of each cycle, and the mIoU of each seed there.

    Seeds spend slightly different pixels and images on the same number of regions.
    """
    curves = [run.curve(axis) for run in group.runs]
    length = min(len(x) for x, _ in curves)
    points = np.mean([x[:length] for x, _ in curves], axis=0)
    return points, np.stack([y[:length] for _, y in curves])


def _mean_curve(points: np.ndarray, values: np.ndarray) -> MeanCurve:
    """Return the mean over seeds with intervals.

    Args:
        points: budgets, shape (num_points,).
        values: mIoU, shape (num_seeds, num_points).
    """
    intervals = [bootstrap_mean(column) for column in values.T]
    return MeanCurve(
        x=tuple(points.tolist()),
        mean=tuple(interval.mean for interval in intervals),
        low=tuple(interval.low for interval in intervals),
        high=tuple(interval.high for interval in intervals),
    )


def _share_of_own(group: Group, finals: np.ndarray) -> ShareOfFull | None:
    """Return the share of each seed's own full score; the group's mean serves seeds without one."""
    known = [run.full for run in group.runs if run.full is not None]
    if not known:
        return None
    mean = float(np.mean(known))
    fulls = np.array([mean if run.full is None else run.full for run in group.runs])
    return _share_of_full(mean, bootstrap_mean(finals / fulls))


def _share_of_best(finals: np.ndarray, full: float | None) -> ShareOfFull | None:
    return _share_of_full(full, bootstrap_mean(finals / full)) if full else None


def _share_of_full(full: float, share: Interval) -> ShareOfFull:
    return ShareOfFull(full=full, mean=share.mean, low=share.low, high=share.high)


def _rare_classes(group: Group) -> tuple[str, ...]:
    shares = _labelled_shares(group)
    return tuple(name for name, share in shares.items() if share < RARE)


def _labelled_shares(group: Group) -> dict[str, float]:
    """Return the share of each class in the labelled pixels in the end, mean over seeds."""
    counts = [np.asarray(run.class_pixels, dtype=np.float64) for run in group.runs]
    shares = np.mean([count / max(1.0, count.sum()) for count in counts], axis=0)
    return dict(zip(group.runs[0].class_names, shares.tolist(), strict=True))


def _class_table(group: Group) -> Mapping[str, Interval | None]:
    table: dict[str, Interval | None] = {}
    for name in group.runs[0].class_names:
        known = [iou for run in group.runs if (iou := _last_iou(run, name)) is not None]
        table[name] = bootstrap_mean(known) if known else None
    return table


def _rare_miou(group: Group, rare: Sequence[str]) -> Interval | None:
    means = []
    for run in group.runs:
        known = [iou for name in rare if (iou := _last_iou(run, name)) is not None]
        if known:
            means.append(float(np.mean(known)))
    return bootstrap_mean(means) if means else None


def _last_iou(run: RunResult, name: str) -> float | None:
    iou: float | None = run.rows[-1][f"iou_{name}"]
    return iou

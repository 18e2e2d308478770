"""Strategies compared over seeds: what `compare.html`, the CSV files and the table show, as one mapping of numbers."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.sweep.curves import aubc, value_at
from ray_al.sweep.run_result import Group, Grouped, RunResult
from ray_al.sweep.saved import saved_facts
from ray_al.sweep.stats import (
    Interval,
    bootstrap_mean,
    mean_ranks,
    paired_p,
    penalty_matrix,
    seeds_needed,
)

AXES = {
    "share": "labelled share of the pool",
    "pixel_share": "labelled share of the pool's pixels",
    "pixels": "labelled pixels",
    "clicks": "clicks",
    "images": "images opened",
    "minutes": "minutes of labelling",
}
SHARES = ("share", "pixel_share")
RARE = 0.02
"""A class with less than this share of the reference's labelled pixels is rare."""

MEASURES = {"miou": "models that choose", "final_miou": "measured models"}
"""What strategies are compared by, and whose it is."""


def compare(
    grouped: Grouped,
    *,
    measure: str = "miou",
    at: Sequence[float] = (),
    reference: str | None = None,
) -> dict[str, Any]:
    """All facts of a comparison, ready for JSON.

    Args:
        measure: one of `MEASURES`; the rows of the runs hold it as their `miou`.
        at: budgets (shares of the pool, or clicks where those are compared) at which mIoU is wanted; default: those of the curves' cycles.
        reference: label of the strategy that labels are saved against; default: the random one.

    Raises:
        ConfigError: no such reference, or the curves have no budget in common.
    """
    groups, axis = list(grouped.groups), grouped.axis
    base = _reference(groups, reference)
    if at and axis not in SHARES:
        raise ConfigError(
            f"--at {at[0]:g}: these runs are compared by {AXES[axis]}, of which the pool has no share; leave --at out"
        )
    if base is not None:
        groups.sort(key=lambda group: group is not base)
    grid = common_grid(groups, axis, only_shared=measure == "final_miou")
    budgets = np.array(sorted(set(at))) if at else grid
    outside = [budget for budget in budgets if not grid[0] - 1e-9 <= budget <= grid[-1] + 1e-9]
    if outside:
        raise ConfigError(
            f"--at {outside[0]:g}: the runs' common budgets go from {grid[0]:g} to {grid[-1]:g}; give a share between them"
        )
    rare = _rare_classes(base or groups[0])
    best_full = max(
        (run.full for group in groups for run in group.runs if run.full is not None), default=None
    )
    return {
        "keys": list(grouped.keys),
        "axis": axis,
        "measure": measure,
        "apart": [{"run": uri, "reason": reason} for uri, reason in grouped.apart],
        "reference": base.label if base else None,
        "class_names": list(groups[0].runs[0].class_names),
        "rare_classes": rare,
        "grid": grid.tolist(),
        "groups": [
            _group_facts(group, base, axis, grid, budgets, rare, best_full) for group in groups
        ],
        **_tests(groups, axis, grid),
    }


def _reference(groups: Sequence[Group], label: str | None) -> Group | None:
    if label is None:
        return next((group for group in groups if group.is_random), None)
    return find_reference(groups, label)


def find_reference(groups: Sequence[Group], label: str) -> Group:
    """The group of that label.

    Raises:
        ConfigError: there is none.
    """
    for group in groups:
        if group.label == label:
            return group
    raise ConfigError(
        f"--reference {label!r}: no such strategy; there are "
        + ", ".join(group.label for group in groups)
    )


def common_grid(groups: Sequence[Group], axis: str, *, only_shared: bool = False) -> np.ndarray:
    """The budgets of all curves' points within what every curve covers; curves between their points are lines.

    Args:
        only_shared: only budgets that all curves have, where there are two or more of these: a curve that was measured
            more often than the others would else have the larger area below it, as curves bend.

    Raises:
        ConfigError: the curves have no budget in common.
    """
    curves = [run.curve(axis)[0] for group in groups for run in group.runs]
    low, high = max(x[0] for x in curves), min(x[-1] for x in curves)
    if low > high:
        raise ConfigError(
            f"the curves have no budget in common: one starts at {low:g}, another ends at {high:g} ({AXES[axis]})"
        )
    points = np.concatenate([x[(x >= low - 1e-9) & (x <= high + 1e-9)] for x in curves])
    shared = [
        point
        for point in np.unique(points.round(9))
        if all(np.isclose(x, point, rtol=1e-6, atol=1e-9).any() for x in curves)
    ]
    return np.array(shared) if only_shared and len(shared) > 1 else np.unique(points.round(9))


def on_grid(group: Group, axis: str, grid: np.ndarray) -> np.ndarray:
    """mIoU of each run at the budgets of `grid`, shape (num_seeds, num_budgets)."""
    return np.stack([_on_grid(run, axis, grid) for run in group.runs])


def _on_grid(run: RunResult, axis: str, grid: np.ndarray) -> np.ndarray:
    budgets, values = run.curve(axis)
    return value_at(budgets, values, np.clip(grid, budgets[0], budgets[-1]))


def _group_facts(
    group: Group,
    base: Group | None,
    axis: str,
    grid: np.ndarray,
    budgets: np.ndarray,
    rare: Sequence[str],
    best_full: float | None,
) -> dict[str, Any]:
    values = on_grid(group, axis, grid)
    finals = values[:, -1]
    return {
        "label": group.label,
        "setting": dict(group.setting),
        "seeds": list(group.seeds),
        "runs": [run.uri for run in group.runs],
        "curves": {
            one: _mean_curve(group, one, exact=one == axis) for one in _axes_of(group, axis)
        },
        "aubc": asdict(bootstrap_mean([aubc(grid, row) for row in values])),
        "aubc_log": asdict(bootstrap_mean([aubc(grid, row, log=True) for row in values])),
        "aubc_by_seed": [aubc(grid, row) for row in values],
        "at": [
            {
                "budget": float(budget),
                **asdict(bootstrap_mean(on_grid(group, axis, np.array([budget]))[:, 0])),
            }
            for budget in budgets
        ],
        "final": asdict(bootstrap_mean(finals)),
        "full_own": _share_of_own(group, finals),
        "full_best": _share(finals, best_full),
        "saved": saved_facts(group, base, axis)
        if base is not None and group is not base and len(grid) > 1
        else None,
        "classes": _class_table(group),
        "rare_miou": _rare_miou(group, rare),
        "labelled_classes": _labelled_shares(group),
        "pixels": float(np.mean([run.rows[-1]["labelled_pixels"] for run in group.runs])),
        "images": float(np.mean([run.rows[-1]["labelled_images"] for run in group.runs])),
        **{name: _last(group, name) for name in ("clicks", "minutes")},
        "seconds": float(np.mean([run.seconds for run in group.runs])),
    }


def _last(group: Group, axis: str) -> float | None:
    """What the labels cost in the end, mean over seeds; None where that was not counted."""
    return (
        float(np.mean([run.curve(axis)[0][-1] for run in group.runs]))
        if all(run.has(axis) for run in group.runs)
        else None
    )


def _axes_of(group: Group, axis: str) -> list[str]:
    """The axis of the comparison, and those that are no share of something and that all runs of the group counted."""
    return [
        one
        for one in AXES
        if one == axis or (one not in SHARES and all(run.has(one) for run in group.runs))
    ]


def _mean_curve(group: Group, axis: str, *, exact: bool) -> dict[str, list[Any]]:
    """Mean over seeds with intervals, within what all of its seeds cover; `exact`: at equal budgets, else cycle by cycle."""
    curves = [run.curve(axis) for run in group.runs]
    if exact:
        low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
        points = np.unique(np.clip(np.concatenate([x for x, _ in curves]), low, high).round(9))
        values = np.stack([value_at(x, y, np.clip(points, x[0], x[-1])) for x, y in curves])
    else:  # cycle by cycle: seeds spend slightly different pixels and images on the same number of regions
        length = min(len(x) for x, _ in curves)
        points = np.mean([x[:length] for x, _ in curves], axis=0)
        values = np.stack([y[:length] for _, y in curves])
    intervals = [bootstrap_mean(column) for column in values.T]
    return {
        "x": points.tolist(),
        "mean": [interval.mean for interval in intervals],
        "low": [interval.low for interval in intervals],
        "high": [interval.high for interval in intervals],
    }


def _share_of_own(group: Group, finals: np.ndarray) -> dict[str, Any] | None:
    """Of each seed's own full score, or of the group's mean where that seed has none."""
    known = [run.full for run in group.runs if run.full is not None]
    if not known:
        return None
    mean = float(np.mean(known))
    fulls = np.array([mean if run.full is None else run.full for run in group.runs])
    return {"full": mean, **asdict(bootstrap_mean(finals / fulls))}


def _share(finals: np.ndarray, full: float | None) -> dict[str, Any] | None:
    return {"full": full, **asdict(bootstrap_mean(finals / full))} if full else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rare_classes(group: Group) -> list[str]:
    shares = _labelled_shares(group)
    return [name for name, share in shares.items() if share < RARE]


def _labelled_shares(group: Group) -> dict[str, float]:
    """Share of each class in the labelled pixels after the last cycle, mean over seeds."""
    counts = [np.asarray(run.class_pixels, dtype=np.float64) for run in group.runs]
    shares = np.mean([count / max(1.0, count.sum()) for count in counts], axis=0)
    return dict(zip(group.runs[0].class_names, shares.tolist(), strict=True))


def _class_table(group: Group) -> dict[str, Any]:
    table = {}
    for name in group.runs[0].class_names:
        values = [
            run.rows[-1][f"iou_{name}"]
            for run in group.runs
            if run.rows[-1][f"iou_{name}"] is not None
        ]
        table[name] = asdict(bootstrap_mean(values)) if values else None
    return table


def _rare_miou(group: Group, rare: Sequence[str]) -> dict[str, Any] | None:
    means = []
    for run in group.runs:
        values = [
            run.rows[-1][f"iou_{name}"] for name in rare if run.rows[-1][f"iou_{name}"] is not None
        ]
        if values:
            means.append(float(np.mean(values)))
    return asdict(bootstrap_mean(means)) if means else None


def _tests(groups: Sequence[Group], axis: str, grid: np.ndarray) -> dict[str, Any]:
    """Paired tests over the seeds that all groups share."""
    seeds = sorted(set.intersection(*(set(group.seeds) for group in groups)))
    matched = [
        Group(
            label=g.label, setting=g.setting, runs=tuple(run for run in g.runs if run.seed in seeds)
        )
        for g in groups
    ]
    facts: dict[str, Any] = {"seeds": seeds, "tests": None, "too_few": None}
    if len(groups) < 2:
        return facts
    if len(seeds) < 2:
        facts["too_few"] = (
            f"{len(seeds)} seed common to all strategies: no test over seeds is possible; run at least 3"
        )
        return facts
    values = [on_grid(group, axis, grid) for group in matched]
    scores = np.array([[aubc(grid, row) for row in rows] for rows in values])
    penalties, ranks = penalty_matrix(values), mean_ranks(scores.T)
    pairs = []
    for i, one in enumerate(matched):
        for j in range(i + 1, len(matched)):
            difference = scores[i] - scores[j]
            spread = float(difference.std(ddof=1))
            effect = float(difference.mean() / spread) if spread > 0 else float("nan")
            pairs.append(
                {
                    "one": one.label,
                    "other": matched[j].label,
                    "difference": float(difference.mean()),
                    "spread": spread,
                    "p": _finite(paired_p(scores[i], scores[j])),
                    "seeds_needed": seeds_needed(effect),
                }
            )
    if len(seeds) < 5:
        facts["too_few"] = (
            f"{len(seeds)} seeds are few: a paired test then finds only differences that are large against their spread. The table of pairs says "
            "how many seeds would be needed to find the difference that was seen, with 80 % power at the 5 % level"
        )
    facts["tests"] = {
        "labels": [group.label for group in matched],
        "wins": penalties.wins.tolist(),
        "num_tests": penalties.num_tests,
        "loss_rate": penalties.wins.sum(axis=0).tolist(),
        "ranks": ranks.mean.tolist(),
        "critical": ranks.critical,
        "friedman_p": _finite(ranks.friedman_p),
        "pairs": pairs,
    }
    return facts


def interval_text(
    values: dict[str, Any] | Interval | None, *, scale: float = 1.0, digits: int = 4
) -> str:
    """`0.3012 [0.2950, 0.3071]`; the mean alone where there is no interval, a dash where there is nothing."""
    if values is None:
        return "-"
    facts = asdict(values) if isinstance(values, Interval) else values
    mean = facts.get("mean", facts.get("value"))
    if mean is None:
        return "-"
    text = f"{scale * mean:.{digits}f}"
    return (
        text
        if facts["low"] is None
        else f"{text} [{scale * facts['low']:.{digits}f}, {scale * facts['high']:.{digits}f}]"
    )

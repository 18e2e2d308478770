"""What it costs to reach a share of the full score, by strategy and by granularity: whole images, regions, cells, pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.sweep.labels import granularity, regions_of
from ray_al.sweep.reach import (
    SeedCurves,
    estimate,
    estimate_text,
    paired_draws,
    reach,
    seed_curves,
    share_saved,
)
from ray_al.sweep.run_result import Group
from ray_al.sweep.stats import bootstrap_mean

FREE = ("budget.unit", "budget.start", "budget.start_rule")
"""Keys of the recipe in which runs may differ whose costs alone are compared."""
SHARES = (0.8, 0.9, 0.95)
AXES = {"pixel_share": "pixels", "clicks": "clicks", "minutes": "minutes"}


def fulls(groups: Sequence[Group]) -> dict[str, float]:
    """run -> the full score that its own is a share of: that of its own seed, else the mean of its group's, else of all.

    All labels are the same whatever they are divided into, so the mean of all groups of one pool and recipe serves a group
    that has none.

    Raises:
        ConfigError: no run has one.
    """
    known = [run.full for group in groups for run in group.runs if run.full is not None]
    if not known:
        raise ConfigError(
            "no run has a score with all labels, of which a share could be told; make one with `ray-al upper-bound RUN_DIR`"
        )
    scores = {}
    for group in groups:
        own = [run.full for run in group.runs if run.full is not None] or known
        scores.update(
            {
                run.uri: run.full if run.full is not None else float(np.mean(own))
                for run in group.runs
            }
        )
    return scores


def today(groups: Sequence[Group]) -> Group | None:
    """Whole images at random, which is what people do today; None where no group is that."""
    return next(
        (
            group
            for group in groups
            if group.is_random and regions_of(group.runs[0].values).is_whole_image
        ),
        None,
    )


def cost_facts(groups: Sequence[Group], reference: Group | None) -> dict[str, Any]:
    """Budgets at which each group reaches `SHARES` of the full score, and how much of the reference's costs it saves.

    Args:
        reference: None for whole images at random, where a group is that.
    """
    scores, base = fulls(groups), reference or today(groups)
    curves = {group.label: _shares(group, scores) for group in groups}
    mean = float(np.mean([scores[run.uri] for group in groups for run in group.runs]))
    rows = [
        {
            "label": group.label,
            "seeds": list(group.seeds),
            "share": share,
            **_row(curves[group.label], curves[base.label] if base else None, share),
        }
        for share in SHARES
        for group in groups
    ]
    drawn = [
        _curve(group, scores) for group in groups if all(run.has("minutes") for run in group.runs)
    ]
    return {
        "curves": drawn,
        "full": mean,
        "reference": base.label if base else None,
        "num_images": groups[0].runs[0].num_images,
        "rows": rows,
    }


def _curve(group: Group, scores: dict[str, float]) -> dict[str, Any]:
    """Share of the full score against minutes and clicks, with 95 % bootstrap intervals over seeds."""
    curves = _shares(group, scores)
    intervals = [bootstrap_mean(column) for column in curves["minutes"].y.T]
    return {
        "label": group.label,
        "seeds": len(group.seeds),
        "granularity": granularity(group.runs[0].values, group.runs[0].values),
        "is_random": group.is_random,
        "minutes": curves["minutes"].x.mean(axis=0).tolist(),
        "clicks": curves["clicks"].x.mean(axis=0).tolist(),
        "pixel_share": curves["pixel_share"].x.mean(axis=0).tolist(),
        **{
            key: [getattr(interval, key) for interval in intervals]
            for key in ("mean", "low", "high")
        },
    }


def _shares(group: Group, scores: dict[str, float]) -> dict[str, SeedCurves]:
    scales = [scores[run.uri] for run in group.runs]
    return {
        axis: seed_curves(group, axis, scales)
        for axis in AXES
        if all(run.has(axis) for run in group.runs)
    }


def _row(
    own: dict[str, SeedCurves], base: dict[str, SeedCurves] | None, share: float
) -> dict[str, Any]:
    budgets = {axis: _budget(curves, share) for axis, curves in own.items()}
    saved = {
        axis: _saved(curves, base[axis], share)
        for axis, curves in own.items()
        if base is not None and axis in base and base is not own
    }
    return {"budgets": budgets, "saved": saved}


def _reach(curves: tuple[np.ndarray, np.ndarray], share: float) -> tuple[np.ndarray, np.ndarray]:
    return reach(*curves, np.full(len(curves[0]), share))


def _budget(own: SeedCurves, share: float) -> dict[str, Any]:
    draws = paired_draws(own, own)
    return estimate(
        _reach(own.mean, share), None if draws is None else _reach(own.means(draws[0]), share)
    )


def _saved(own: SeedCurves, base: SeedCurves, share: float) -> dict[str, Any]:
    draws = paired_draws(own, base)
    drawn = (
        None
        if draws is None
        else share_saved(_reach(own.means(draws[0]), share), _reach(base.means(draws[1]), share))
    )
    return estimate(share_saved(_reach(own.mean, share), _reach(base.mean, share)), drawn)


def cost_text(facts: dict[str, Any], costs: str) -> str:
    """A table for each share of the full score.

    Args:
        costs: the settings of the cost model.
    """
    width = max(len("strategy"), *(len(row["label"]) for row in facts["rows"]))
    lines = [f"all labels: mIoU {facts['full']:.4f}; minutes: {costs}"]
    against = f"minutes saved against {facts['reference']} (%)" if facts["reference"] else ""
    for share in dict.fromkeys(row["share"] for row in facts["rows"]):
        lines.append(f"{100 * share:.0f} % of all labels' mIoU needs:")
        lines.append(
            f"  {'strategy':{width}s} seeds  {'% of the pixels':28s} {'clicks an image':28s} {'minutes':28s} {against}".rstrip()
        )
        for row in facts["rows"]:
            if row["share"] == share:
                lines.append(_cost_line(row, width, facts["num_images"]))
    return "\n".join(lines)


def _cost_line(row: dict[str, Any], width: int, num_images: int) -> str:
    budgets = row["budgets"]
    pixels = estimate_text(budgets.get("pixel_share"), scale=100, digits=2, floor=0.0)
    clicks = estimate_text(budgets.get("clicks"), scale=1 / num_images, digits=1, floor=0.0)
    minutes = estimate_text(budgets.get("minutes"), floor=0.0)
    saved = (
        estimate_text(row["saved"].get("minutes"), scale=100, digits=1, ceiling=1.0)
        if row["saved"]
        else ""
    )
    return f"  {row['label']:{width}s} {len(row['seeds']):5d}  {pixels:28s} {clicks:28s} {minutes:28s} {saved}".rstrip()


def cost_sentence(facts: dict[str, Any], share: float = 0.9) -> str | None:
    """What the cheapest strategy saves against the reference in minutes, as a sentence; None where no strategy is known to reach `share`."""
    rows = [row for row in facts["rows"] if row["share"] == share and "minutes" in row["saved"]]
    known = [
        row
        for row in rows
        if row["budgets"]["minutes"]["value"] is not None
        and not row["budgets"]["minutes"]["open_high"]
    ]
    best = min(known, key=lambda row: row["budgets"]["minutes"]["value"], default=None)
    if best is None:
        return None
    saved = estimate_text(best["saved"]["minutes"], scale=100, digits=1, ceiling=1.0)
    minutes, pixels = (
        estimate_text(best["budgets"]["minutes"]),
        estimate_text(best["budgets"]["pixel_share"], scale=100, digits=2),
    )
    return (
        f"{100 * share:.0f} % of the mIoU of all labels takes {minutes} minutes with {best['label']}, the cheapest of {len(rows)} ({pixels} % of the "
        f"pixels): {saved} % less than with {facts['reference']} (means and 95 % intervals over {len(best['seeds'])} seeds)."
    )

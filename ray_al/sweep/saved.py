"""Labels saved against a reference at equal mIoU: in the axis of the comparison, pixels, clicks and minutes.

Two questions can be asked. How many labels does the reference need for what a strategy reaches with its last
budget? It needs a reference that was measured beyond that budget. Otherwise: how many does the strategy need for
what the reference reaches with its own last budget? Which of them is asked depends on budgets alone, never
on scores.
"""

from typing import Any

import numpy as np

from ray_al.sweep.reach import (
    SeedCurves,
    estimate,
    estimate_text,
    exact,
    paired_draws,
    reach,
    seed_curves,
    share_saved,
)
from ray_al.sweep.run_result import Group

POINTS = 25
"""Scores at which the curve of labels saved is drawn."""
COSTS = ("pixels", "clicks", "minutes")
BEYOND = 1.001
"""A reference measured beyond this multiple of the strategy's last budget goes further than it."""


def saved_facts(group: Group, base: Group, axis: str) -> dict[str, Any]:
    """Labels that `group` saves against `base`.

    Returns:
        The single figure as `reach.estimate` gives it, with `target`, the score that both reach, and `forward`, whether
        it is the strategy's; `costs`: the same in pixels, clicks and minutes; `points`: at each budget of the
        strategy the labels that the reference needs for the same score; `curve` over scores, for the picture.
    """
    own, other = seed_curves(group, axis), seed_curves(base, axis)
    forward = bool(other.mean[0][0, -1] > BEYOND * own.mean[0][0, -1])
    target = (own if forward else other).mean[1][0, -1]
    costs = {}
    for one in COSTS:
        if all(run.has(one) for some in (group, base) for run in some.runs):
            costs[one] = _saved(seed_curves(group, one), seed_curves(base, one), forward)
    return {
        **_saved(own, other, forward),
        "target": float(target),
        "forward": forward,
        "costs": costs,
        "points": [_point(own.last(number), other) for number in range(own.x.shape[1])],
        "curve": _curve(own, other),
    }


def _saved(own: SeedCurves, other: SeedCurves, forward: bool) -> dict[str, Any]:
    draws = paired_draws(own, other)
    value = _share(own.mean, other.mean, forward)
    return estimate(
        value,
        None if draws is None else _share(own.means(draws[0]), other.means(draws[1]), forward),
    )


Curves = tuple[np.ndarray, np.ndarray]


def _share(own: Curves, other: Curves, forward: bool) -> tuple[np.ndarray, np.ndarray]:
    (x, y), (base_x, base_y) = own, other
    if forward:
        return share_saved(exact(x[:, -1]), reach(base_x, base_y, y[:, -1]))
    return share_saved(reach(x, y, base_y[:, -1]), exact(base_x[:, -1]))


def _point(own: SeedCurves, other: SeedCurves) -> dict[str, Any]:
    """At the last budget of `own`."""
    x, y = own.mean
    low, high = reach(*other.mean, y[:, -1])
    needed = estimate((low, high), None)
    budgets = {key: needed[key] for key in ("value", "at_least", "at_most")}
    return {
        "budget": float(x[0, -1]),
        "miou": float(y[0, -1]),
        "reference_budget": budgets,
        "saved": _saved(own, other, True),
    }


def _curve(own: SeedCurves, other: SeedCurves) -> dict[str, list[Any]]:
    """Labels saved over the scores that both mean curves reach; None where that is not known."""
    (x, y), (base_x, base_y) = own.mean, other.mean
    targets = np.linspace(max(y[0, 0], base_y[0, 0]), min(y.max(), base_y.max()), POINTS)
    rows = [np.repeat(array, POINTS, axis=0) for array in (x, y, base_x, base_y)]
    low, high = share_saved(reach(rows[0], rows[1], targets), reach(rows[2], rows[3], targets))
    return {
        "miou": targets.tolist(),
        "saved": [a if a == b else None for a, b in zip(low.tolist(), high.tolist(), strict=True)],
    }


def saved_text(facts: dict[str, Any]) -> str:
    """Labels saved, strategy by strategy, for a terminal; empty where nothing is compared.

    Args:
        facts: of a comparison.
    """
    groups = [group for group in facts["groups"] if group["saved"]]
    if not groups:
        return ""
    reference, is_share = facts["reference"], facts["axis"] in ("share", "pixel_share")
    width = max(len("strategy"), *(len(group["label"]) for group in groups))
    lines = [
        f"saved against {reference} at equal mIoU, in % [95 % interval over seeds; what was not reached stays in it]:"
    ]
    lines.append(
        f"  {'strategy':{width}s} mIoU    {'labels':30s} {'pixels':30s} {'clicks':30s} minutes"
    )
    for group in groups:
        saved = group["saved"]
        cells = [saved, *(saved["costs"].get(cost) for cost in COSTS)]
        texts = [f"{estimate_text(cell, scale=100, ceiling=1.0):30s}" for cell in cells]
        lines.append(
            f"  {group['label']:{width}s} {saved['target']:.4f}  {' '.join(texts)}".rstrip()
        )
    lines.append(f"labels that {reference} needs for the same mIoU:")
    for group in groups:
        for point in group["saved"]["points"]:
            lines.append(f"  {group['label']:{width}s} {_point_text(point, is_share)}")
    return "\n".join(lines)


def saved_sentence(label: str, reference: str, saved: dict[str, Any]) -> str:
    """`At mIoU 0.5352 stratified saves 56 [51, 60] % of random's labels, 38 [31, 45] % of its clicks and 33 [28, 38] % of its minutes.`"""
    parts = [f"{estimate_text(saved, scale=100, ceiling=1.0)} % of {reference}'s labels"]
    parts += [
        f"{estimate_text(saved['costs'][cost], scale=100, ceiling=1.0)} % of its {cost}"
        for cost in ("clicks", "minutes")
        if cost in saved["costs"]
    ]
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"At mIoU {saved['target']:.4f} {label} saves {listed}."


def needed_text(budget: dict[str, Any], is_share: bool) -> str:
    """The budget that the reference needs: in % where budgets are shares."""
    scale, unit, digits = (100, " %", 2) if is_share else (1, "", 0)
    return estimate_text({**budget, "known": None}, scale=scale, digits=digits, floor=0.0) + unit


def _point_text(point: dict[str, Any], is_share: bool) -> str:
    budget = f"{100 * point['budget']:.2f} %" if is_share else f"{point['budget']:.0f}"
    saved = estimate_text(point["saved"], scale=100, ceiling=1.0)
    return f"{point['miou']:.4f} with {budget}: {needed_text(point['reference_budget'], is_share)}; saved {saved} %"

"""Runs as numbers that no model made, for the tests of comparisons."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from ray_al.compare.costs import CostModel, with_minutes
from ray_al.compare.run_result import Group, RunResult


def tiny(num_classes: int) -> nn.Module:
    """A model that is timed in no time."""
    return nn.Conv2d(3, num_classes, 1)


NUM_IMAGES, NUM_PIXELS, NUM_REGIONS = 100, 1_000_000, 2500


def made_up(
    budgets: Sequence[float],
    mious: Sequence[float],
    *,
    seed: int = 0,
    score: str = "random",
    full: float | None = None,
    kind: str = "grid",
    clicks: float = 5,
    images: float = 100,
    gap: float = 0.1,
    **changes: Any,
) -> RunResult:
    """Return a finished run over 2,500 regions of 400 pixels.

    Its models were measured at all budgets but the first one.

    Args:
        budgets: regions labelled after each cycle.
        mious: of the measured models; those that choose have `gap` less.
        clicks: for the label of a region.
        images: opened.
    """
    rows = []
    for cycle, (budget, miou) in enumerate(zip(budgets, mious, strict=True)):
        rows.append(
            {
                "cycle": cycle,
                "labelled_regions": budget,
                "labelled_pixels": 400 * budget,
                "labelled_images": min(images, budget),
                "labelled_clicks": clicks * budget,
                "labelled_visits": min(images, budget) + 10 * cycle,
                "labelled_fraction": budget / NUM_REGIONS,
                "cost": budget,
                "miou": miou - gap,
                "pixel_accuracy": 0.5,
                "iou_road": miou,
                "iou_sky": miou - 0.2,
                "train_seconds": 1.0,
                "evaluate_seconds": 1.0,
                "score_seconds": None,
                "select_seconds": None,
                "label_seconds": 1.0,
                "cycle_seconds": 3.0,
                "images_per_second": None,
                "final_miou": miou,
                "final_spread": 0.01,
                "measure_seconds": 9.0,
            }
        )
    measured = [{**row, "miou": row["final_miou"], "final_budget": row["cost"]} for row in rows[1:]]
    values = {
        "strategy.acquisition": score,
        "strategy.batch.kind": "topk",
        "regions.kind": kind,
        **({"regions.rows": 5, "regions.columns": 5} if kind == "grid" else {}),
        "budget.unit": "regions",
        "label.kind": "dense",
        "label.max_clicks": 100,
        "train.steps": 200,
    }
    facts = {
        "uri": f"/runs/{score}-{kind}-seed{seed}",
        "seed": seed,
        "values": values,
        "pool": "abc",
        "class_names": ("road", "sky"),
        "rows": tuple(rows),
        "measured": tuple(measured),
        "recipe": {"final.train.steps": 1000},
        "seconds": 9.0,
        "class_pixels": (600, 400),
        "num_pixels": NUM_PIXELS,
        "num_images": NUM_IMAGES,
        "finished": True,
        "full": full,
        "unit_total": NUM_REGIONS,
        "code": "c0de",
        "config_digest": "d1",
        "group": score,
        **changes,
    }
    return with_minutes(
        RunResult(**{**facts, "values": {**values, **changes.get("values", {})}}), CostModel()
    )


def made_up_group(
    label: str,
    curve: Callable[[float], float],
    budgets: Sequence[float],
    *,
    seeds: Sequence[int] = range(10),
    spread: float = 0.0,
    **changes: Any,
) -> Any:
    """Return runs with scores `curve` plus a shift for each seed, drawn with `spread`."""
    shifts = (
        np.random.default_rng(7).normal(0, spread, (len(seeds), len(budgets)))
        if spread
        else np.zeros((len(seeds), len(budgets)))
    )
    runs = [
        made_up(
            budgets,
            [curve(budget) + shift for budget, shift in zip(budgets, row, strict=True)],
            seed=seed,
            gap=0.0,
            **changes,
        )
        for seed, row in zip(seeds, shifts, strict=True)
    ]
    return Group(label=label, setting={"strategy.acquisition": label}, runs=tuple(runs))

"""List the components that a run can choose, with source and needs, for `ray-al strategies`."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from ray_al.acquisition import ACQUISITIONS, Acquisition
from ray_al.core.families.batch import BATCH_RULES
from ray_al.core.families.labels import LABELS
from ray_al.core.families.passes import PASSES
from ray_al.core.families.regions import REGIONS
from ray_al.core.families.start import START_RULES
from ray_al.core.families.units import UNITS
from ray_al.core.family import Family

MEASURED: Mapping[str, float] = {
    "least_confidence": 1.00,
    "margin": 1.03,
    "entropy": 1.00,
    "bvsb": 1.00,
    "one_vs_rest": 1.04,
    "ripu": 1.03,
    "equal": 2.04,
    "disagreement": 2.03,
    "soft_vote_entropy": 1.20,
    "bald": 1.36,
    "qbc_kl": 1.33,
    "vote_entropy": 1.24,
    "variation_ratio": 1.24,
    "expected_entropy": 1.27,
    "balent": 1.64,
    "class_balanced": 1.14,
    "class_balanced_pixels": 1.06,
    "pixbal": 1.08,
    "validation_gap": 1.10,
    "clasp": 1.05,
}
"""Time to score an image, relative to entropy, as measured by `jobs/bench_strategies.py`.

LR-ASPP at 180x240, one batch per thread, one transform, ten passes of MC-dropout."""

OFFER_FACTS = {
    "top_share": ("PixelPick: Shin et al., ICCV Workshops 2021", "scores"),
    "stratified": (
        "rare predicted classes of the image first, after PixelPick",
        "scores, classes of the image",
    ),
    "herding": (
        "MaxHerding in each image: Kim et al., NeurIPS 2025 (arXiv 2510.22229)",
        "the backbone's maps",
    ),
}
"""Source and needs of each `strategy.offer`, by kind."""


def list_strategies() -> list[dict[str, Any]]:
    """Return one row per component: `kind`, `name`, `paper`, `needs` and `cost`.

    `cost` is the measured time to score an image, relative to entropy; None for all but scores.
    """
    return list(_rows())


def _rows() -> Iterator[dict[str, Any]]:
    for name, function in ACQUISITIONS.items():
        yield {
            "kind": "acquisition",
            "name": name,
            "paper": function.paper,
            "needs": _function_needs(function),
            "cost": MEASURED.get(name),
        }
    yield from _family_rows("batch", BATCH_RULES)
    yield from _family_rows("start", START_RULES)
    for name, (paper, needs) in OFFER_FACTS.items():
        yield {"kind": "offer", "name": name, "paper": paper, "needs": needs, "cost": None}
    yield from _family_rows("passes", PASSES)
    yield from _family_rows("regions", REGIONS)
    yield from _family_rows("label", LABELS)
    yield from _family_rows("unit", UNITS)


def _family_rows(kind: str, family: Family[Any]) -> Iterator[dict[str, Any]]:
    """Return the rows of the built-in variants; label kinds and units need nothing."""
    for name in family.kinds:
        variant = family.find(name)
        yield {
            "kind": kind,
            "name": name,
            "paper": variant.paper,
            "needs": getattr(variant, "needs", ""),
            "cost": None,
        }


def _function_needs(function: Acquisition) -> str:
    passes = {
        "none": "no model",
        "logits": "1 pass",
        "transforms": "1 pass and 1 a transform",
        "passes": "strategy.passes.count passes",
    }
    classes = ", classes of the whole pool" if function.attribution != "none" else ""
    return passes[function.inputs] + classes


def count_combinations() -> int:
    """Count the pairs of score and batch rule that a run accepts."""
    rules = [BATCH_RULES.parse({"kind": kind}) for kind in BATCH_RULES.kinds]
    pairs = itertools.product(rules, ACQUISITIONS.items())
    return sum(rule.why_not(name, function) is None for rule, (name, function) in pairs)

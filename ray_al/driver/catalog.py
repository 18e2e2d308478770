"""What can be chosen, where it comes from and what it needs: the rows of `ray-al strategies`."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from ray_al.core.config import BudgetConfig
from ray_al.core.families.labels import LABELS
from ray_al.core.families.units import UNITS
from ray_al.driver.check_strategy import goes_with
from ray_al.regions import KINDS as REGION_KINDS
from ray_al.score.functions import ACQUISITIONS, Acquisition
from ray_al.select import BATCH_RULES, BatchRule

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
"""Seconds an image in times of entropy's, by `jobs/bench_strategies.py`: LR-ASPP at 180x240, a batch a thread; one transform, ten passes
of MC-dropout."""

REGION_PAPERS = {
    "grid": "EquAL: Golestaneh and Kitani, BMVC 2020",
    "image": "whole images",
    "superpixels": "SEEDS: Van den Bergh et al., ECCV 2012; SLIC: Achanta et al., TPAMI 2012; Felzenszwalb and Huttenlocher, IJCV 2004",
    "pixels": "PixelPick: Shin et al., ICCV Workshops 2021",
    "windows": "RIPU: Xie et al., CVPR 2022",
}
OFFER_FACTS = {
    "top_share": ("PixelPick: Shin et al., ICCV Workshops 2021", "scores"),
    "stratified": ("rare predicted classes of the image first, after PixelPick", "scores, classes of the image"),
    "herding": ("MaxHerding in each image: Kim et al., NeurIPS 2025 (arXiv 2510.22229)", "the backbone's maps"),
}
"""Source and needs of `strategy.offer`, of regions of which an image offers a few."""
START_PAPERS = {
    "random": "uniform, drawn from seed and region name",
    "scored": "the untrained model's scores: EquAL",
    "equal_per_image": "random, a region of every image, then a second of every image",
    "kcenter": "k-center on the features of pretrained weights: Sener and Savarese, ICLR 2018",
    "centroids": "nearest to k-means centres of the features of pretrained weights: Gupte et al., TMLR 2024 (arXiv 2401.14555)",
    "typicality": "the most typical of each cluster of the features of pretrained weights: Hacohen et al., ICML 2022 (arXiv 2202.02794)",
    "class_aware": "a random part trains a model, which chooses the rest balanced by class",
}


def list_strategies() -> list[dict[str, Any]]:
    """A row a choice: `kind`, `name`, `paper`, `needs`, and of scores `cost`, the measured time of an image in times of entropy's."""
    return list(_rows())


def _rows() -> Iterator[dict[str, Any]]:
    for name, function in ACQUISITIONS.items():
        yield {"kind": "score", "name": name, "paper": function.paper, "needs": _function_needs(function), "cost": MEASURED.get(name)}
    for name, rule in BATCH_RULES.items():
        yield {"kind": "batch", "name": name, "paper": rule.paper, "needs": _rule_needs(rule), "cost": None}
    for name in get_args(BudgetConfig.model_fields["start_rule"].annotation):
        yield {"kind": "start", "name": name, "paper": START_PAPERS[name], "needs": "", "cost": None}
    for name, (paper, needs) in OFFER_FACTS.items():
        yield {"kind": "offer", "name": name, "paper": paper, "needs": needs, "cost": None}
    for name in REGION_KINDS:
        needs = "a pass over the pool's images" if name == "superpixels" else ""
        yield {"kind": "regions", "name": name, "paper": REGION_PAPERS[name], "needs": needs, "cost": None}
    for name in LABELS.kinds:
        yield {"kind": "label", "name": name, "paper": LABELS.find(name).paper, "needs": "", "cost": None}
    for name in UNITS.kinds:
        yield {"kind": "unit", "name": name, "paper": UNITS.find(name).paper, "needs": "", "cost": None}


def _function_needs(function: Acquisition) -> str:
    passes = {"none": "no model", "logits": "1 pass", "transforms": "1 pass and 1 a transform", "passes": "strategy.passes.count passes"}
    classes = ", classes of the whole pool" if function.attribution != "none" else ""
    return passes[function.inputs] + classes


def _rule_needs(rule: BatchRule) -> str:
    if rule.needs == "scores":
        return "scores"
    if rule.needs == "covers":
        return "scores, the classes that cover each region"
    parts = ["features" if rule.features else "", "classes" if rule.classes else ""]
    return "of the best candidates: " + " and ".join(part for part in parts if part)


def count_combinations() -> int:
    """Pairs of score and batch rule that a run accepts."""
    return sum(goes_with(function, rule) for function in ACQUISITIONS.values() for rule in BATCH_RULES)

"""Make configurations of every family of strategies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from helpers import small_runs

from ray_al.core.config import RunConfig, parse_config

SETTINGS: dict[str, Any] = {
    **small_runs.SETTINGS,
    "train": {**small_runs.SETTINGS["train"], "steps": 4},
}


def spread(logits: torch.Tensor) -> torch.Tensor:
    """A user's own function: how even the probabilities are."""
    return 1 - logits.softmax(1).std(1)


def batch(kind: str, score: str = "entropy", **settings: Any) -> dict[str, Any]:
    """Return the changes to a configuration that choose this batch rule."""
    return {
        "strategy": {
            "acquisition": score,
            "feature_layer": "2",
            "batch": {"kind": kind, **settings},
        }
    }


FROZEN: dict[str, Any] = {
    "model": {
        "kind": "composed",
        "backbone": {"kind": "helpers.tiny_backbones:TwoMapsBackbone"},
        "head": {"kind": "fpn", "width": 8},
    },
    "features": {"batch_size": 2},
}


SNAPSHOTS: dict[str, Any] = {"acquisition": "bald", "passes": {"kind": "snapshots", "count": 3}}


EDALD: dict[str, Any] = {"acquisition": "edald", "passes": {"kind": "noise", "count": 3}}


SUPERPIXELS: dict[str, Any] = {"regions": {"kind": "superpixels", "count": 30}}


CASES: dict[str, Any] = {
    "frozen": {**FROZEN, "strategy": {"acquisition": "equal"}},
    "frozen_dropout": {
        **FROZEN,
        "strategy": {"acquisition": "bald", "passes": {"count": 3}},
        "features": {"store": {"kind": "none"}},
    },
    "frozen_badge": {
        **FROZEN,
        **SUPERPIXELS,
        "strategy": {"acquisition": "entropy", "batch": {"kind": "badge"}},
    },
    "frozen_kcenter": {
        **FROZEN,
        "strategy": {
            "acquisition": "random",
            "feature_layer": "backbone",
            "batch": {"kind": "kcenter"},
        },
    },
    "dropout": {"strategy": {"acquisition": "bald", "passes": {"count": 3}}},
    "ensemble": {
        "strategy": {"acquisition": "vote_entropy", "passes": {"kind": "ensemble", "count": 3}}
    },
    "snapshots": {
        "strategy": {"acquisition": "balent", "passes": {"kind": "snapshots", "count": 3}}
    },
    "disagreement": {
        "strategy": {
            "acquisition": "disagreement",
            "transforms": ["mirror", "rotate90", "scale0.5"],
        }
    },
    "class_balanced": {"strategy": {"acquisition": "class_balanced"}},
    "pixbal": {"strategy": {"acquisition": "pixbal", "aggregation": "mean"}},
    "validation_gap": {"strategy": {"acquisition": "validation_gap"}},
    "own": {"strategy": {"acquisition": f"{__name__}:spread", "aggregation": "top_share"}},
    "per_image": {"strategy": {"acquisition": "entropy", "per_image": 1}},
    "min_distance": {"strategy": {"acquisition": "entropy", "min_distance": 70}},
    # Clicks are learnt from ten labels of queries on.
    "label_time": {
        "regions": {"rows": 4, "columns": 4},
        "strategy": {"acquisition": "bvsb", "label_time": {"image": 0}},
        "budget": {"start": 12, "per_cycle": 12, "amount": 48},
    },
    "label_time_by_class": {
        **SUPERPIXELS,
        "strategy": {
            "acquisition": "clasp",
            "label_time": {},
            "batch": {"kind": "class_split"},
        },
        "budget": {"start": 12, "per_cycle": 12, "amount": 48},
    },
    "lazy": {
        "strategy": {"acquisition": "entropy", "lazy": {"share": 0.4, "check": 0.5}},
        "budget": {"start": 4, "per_cycle": 4, "amount": 20},
    },
    "softmax": batch("softmax", beta=3),
    "softrank": batch("softrank"),
    "kcenter": batch("kcenter", "random"),
    "badge": batch("badge"),
    "dropout_kmeans": batch("kmeans", "bald"),
    "lazy_pixels": {
        "strategy": {"acquisition": "entropy", "lazy": {"share": 0.4, "check": 0.5}},
        "budget": {"unit": "pixels", "start": 0.125, "per_cycle": 0.125, "amount": 0.5},
    },
    "clicks_kcenter": {
        **batch("kcenter", candidates=10),
        "budget": {"unit": "clicks", "start": 120, "per_cycle": 60, "amount": 240},
    },
    "clue": batch("clue", candidates=10),
    "kmeans": batch("kmeans"),
    "maxherding": batch("maxherding"),
    "redal": batch("redal"),
    "typiclust": batch("typiclust"),
    "class_split": batch("class_split", "clasp", schedule="exponential"),
    "stratified": batch("stratified", "bvsb"),
    "centroids": batch("centroids", factor=2, components=3),
    "frozen_start_centroids": {
        **FROZEN,
        "model": {**FROZEN["model"], "weights": "backbone"},
        "strategy": {
            "acquisition": "entropy",
            "feature_layer": "backbone_maps",
            "batch": {"kind": "centroids", "factor": 2},
        },
        "budget": {"start": 4, "per_cycle": 4, "amount": 12, "start_rule": "centroids"},
    },
    "frozen_dropquery": {
        **FROZEN,
        "strategy": {
            "acquisition": "dropquery",
            "passes": {"kind": "features", "count": 3},
            "feature_layer": "backbone_maps",
            "batch": {"kind": "centroids", "factor": 2},
        },
    },
    "stratified_dropquery": {
        **FROZEN,
        "strategy": {
            "acquisition": "dropquery",
            "passes": {"kind": "features", "count": 3},
            "batch": {"kind": "stratified"},
        },
    },
    "start_typicality": {
        **FROZEN,
        "model": {**FROZEN["model"], "weights": "backbone"},
        "budget": {"start": 4, "per_cycle": 4, "amount": 8, "start_rule": "typicality"},
    },
    "start_scored": {"budget": {**SETTINGS["budget"], "start_rule": "scored"}},
    "start_class_aware": {"budget": {**SETTINGS["budget"], "start_rule": "class_aware"}},
    "start_equal_per_image": {"budget": {**SETTINGS["budget"], "start_rule": "equal_per_image"}},
    "superpixels": {
        **SUPERPIXELS,
        "budget": {"start": "5 %", "per_cycle": "5 %", "amount": "15 %"},
    },
    "superpixels_badge": {**SUPERPIXELS, **batch("badge")},
    "dominant": {
        **SUPERPIXELS,
        "label": {"kind": "dominant", "sieve": True},
        "budget": {"unit": "clicks", "start": 10, "per_cycle": 10, "amount": 30},
        "strategy": {"acquisition": "class_balanced"},
    },
    "classes": {
        **SUPERPIXELS,
        "label": {"kind": "classes"},
        "budget": {"unit": "clicks", "start": 30, "per_cycle": 30, "amount": 90},
        "strategy": {"acquisition": "pixbal"},
    },
    "pixels": {
        "regions": {"kind": "pixels", "radius": 3, "per_image": 5},
        "budget": {"start": 20, "per_cycle": 20, "amount": 60},
    },
    "windows": {
        "regions": {"kind": "windows", "radius": 2, "per_image": 5},
        "budget": {"unit": "pixels", "start": "0.5 %", "per_cycle": "0.5 %", "amount": "1 %"},
        "strategy": {"acquisition": "ripu", "radius": 2},
    },
    "windows_kcenter": {
        "regions": {"kind": "windows", "radius": 2, "per_image": 5},
        "budget": {"start": 10, "per_cycle": 10, "amount": 30},
        **batch("kcenter"),
    },
    "top_share": {
        "regions": {"kind": "pixels", "radius": 3, "per_image": 5},
        "budget": {"start": 20, "per_cycle": 20, "amount": 60},
        "strategy": {"acquisition": "bvsb", "per_image": 4, "offer": {"kind": "top_share"}},
    },
    "stratified_offer": {
        **FROZEN,
        "regions": {"kind": "windows", "radius": 2, "per_image": 5},
        "budget": {"start": 10, "per_cycle": 10, "amount": 30},
        "strategy": {"acquisition": "equal", "offer": {"kind": "stratified"}},
    },
    # Less than a pixel an image and cycle: the pool has eight images.
    "two_stage": {
        **FROZEN,
        "regions": {"kind": "pixels", "per_image": 6, "radius": 2},
        "budget": {"start": 4, "per_cycle": 1, "amount": 7},
        "strategy": {
            **EDALD,
            "feature_layer": "backbone",
            "offer": {"kind": "herding", "points": 30},
            "batch": {"kind": "two_stage"},
        },
    },
    "two_stage_grid": {
        **FROZEN,
        "strategy": {**EDALD, "feature_layer": "backbone", "batch": {"kind": "two_stage"}},
    },
    "feature_dropout": {
        **FROZEN,
        "strategy": {"acquisition": "bald", "passes": {"kind": "features", "count": 3}},
    },
    "clicks": {"budget": {"unit": "clicks", "start": 120, "per_cycle": 60, "amount": 240}},
    "images": {
        "regions": {"kind": "image"},
        "budget": {"unit": "images", "start": 2, "per_cycle": 2, "amount": 6},
    },
}


def configure(root: Path, changes: Mapping[str, Any], **score: Any) -> RunConfig:
    """Return a run of a few seconds on `root/data`, with changed sections and scoring settings."""
    model = {"model": {"name": "helpers.networks:tiny_with_dropout"}}
    values = small_runs.changed(SETTINGS, root, {**model, **changes})
    if "tile" in values["data"]:
        del values["data"]["image_size"]  # the network sees tiles at the images' own size
    values["scoring"].update(score)
    return parse_config(values, source="test")

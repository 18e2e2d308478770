"""Segmentation models: networks by name, and networks composed of a backbone and a head.

Names are imported on first use: the settings of backbones and heads are below this package, and are
read without torch, whose import takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray_al.models.build import build_backbone, build_model, check_model
    from ray_al.models.dropout import dropout_pass, dropout_places, with_dropout
    from ray_al.models.features import FeatureNetwork, feature_layer
    from ray_al.models.prepare import images_to_tensor, set_batch_norm_momentum
    from ray_al.models.split import Maps, SplitNetwork
    from ray_al.models.state import is_split, load_trained, trained_state

_PLACES = {
    "FeatureNetwork": "ray_al.models.features",
    "Maps": "ray_al.models.split",
    "SplitNetwork": "ray_al.models.split",
    "build_backbone": "ray_al.models.build",
    "build_model": "ray_al.models.build",
    "check_model": "ray_al.models.build",
    "dropout_pass": "ray_al.models.dropout",
    "dropout_places": "ray_al.models.dropout",
    "feature_layer": "ray_al.models.features",
    "images_to_tensor": "ray_al.models.prepare",
    "is_split": "ray_al.models.state",
    "load_trained": "ray_al.models.state",
    "set_batch_norm_momentum": "ray_al.models.prepare",
    "trained_state": "ray_al.models.state",
    "with_dropout": "ray_al.models.dropout",
}

__all__ = [
    "FeatureNetwork",
    "Maps",
    "SplitNetwork",
    "build_backbone",
    "build_model",
    "check_model",
    "dropout_pass",
    "dropout_places",
    "feature_layer",
    "images_to_tensor",
    "is_split",
    "load_trained",
    "set_batch_norm_momentum",
    "trained_state",
    "with_dropout",
]


def __getattr__(name: str) -> Any:  # the type that PEP 562 gives a lazy attribute
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)

"""Segmentation models: torchvision's and other packages' by name, and those composed of a backbone and a head."""

from ray_al.models.build import build_backbone, build_model, check_model, list_models
from ray_al.models.dropout import dropout_pass, dropout_places, with_dropout
from ray_al.models.features import FeatureNetwork, feature_layer
from ray_al.models.prepare import images_to_tensor, set_batch_norm_momentum
from ray_al.models.split import Maps, SplitNetwork
from ray_al.models.state import is_split, load_trained, trained_state

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
    "list_models",
    "load_trained",
    "set_batch_norm_momentum",
    "trained_state",
    "with_dropout",
]

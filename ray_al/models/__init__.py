"""Segmentation models by name: torchvision's, or any function of an installed package."""

from ray_al.models.build import build_model, check_model, list_models
from ray_al.models.dropout import dropout_pass, dropout_places, with_dropout
from ray_al.models.features import FeatureNetwork, feature_layer
from ray_al.models.prepare import images_to_tensor, set_batch_norm_momentum

__all__ = [
    "FeatureNetwork",
    "build_model",
    "check_model",
    "dropout_pass",
    "dropout_places",
    "feature_layer",
    "images_to_tensor",
    "list_models",
    "set_batch_norm_momentum",
    "with_dropout",
]

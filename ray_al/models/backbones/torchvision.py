"""Classification networks of torchvision."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from ray_al.core.variants import Backbone
from ray_al.models.backbones.load import load_backbone_state


class TorchvisionBackbone(Backbone):
    """Any classification network of torchvision, cut at named layers.

    Source of the cut: `torchvision.models.feature_extraction.create_feature_extractor`.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str = "mobilenet_v2"
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("features.3", "features.6", "features.13", "features.17")
    """Names of the layers whose outputs are the maps, from fine to coarse."""

    def build(self, weights: str) -> nn.Module:
        """As `Backbone.build`."""
        from torchvision.models import get_model
        from torchvision.models.feature_extraction import create_feature_extractor

        network = get_model(self.name, weights="DEFAULT" if weights == "backbone" else None)
        if weights not in ("none", "backbone"):
            load_backbone_state(network, weights)
        return MapExtractor(create_feature_extractor(network, {layer: layer for layer in self.layers}))


class MapExtractor(nn.Module):
    """A feature extractor whose maps come as a tuple, from fine to coarse."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps (N, c, h, w) of images (N, 3, H, W)."""
        return tuple(self.extractor(images).values())

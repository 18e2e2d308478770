"""For tests: a backbone that costs nothing, and one whose map is the image itself."""

from typing import Literal

import torch
from torch import nn

from ray_al.core.variants import Backbone


class TinyBackbone(Backbone):
    """Two random convolutions, strides 4 and 8."""

    kind: Literal["helpers.tiny_backbones:TinyBackbone"] = "helpers.tiny_backbones:TinyBackbone"
    channels: int = 4

    def build(self, weights: str) -> nn.Module:
        return _Tiny(self.channels)


class _Tiny(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, channels, 4, stride=4)
        self.coarse = nn.Conv2d(channels, channels, 2, stride=2)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine = self.fine(images)
        return fine, self.coarse(fine)


class MeanBackbone(Backbone):
    """One map: the mean of each cell of the normalised image."""

    kind: Literal["helpers.tiny_backbones:MeanBackbone"] = "helpers.tiny_backbones:MeanBackbone"
    stride: int = 4

    def build(self, weights: str) -> nn.Module:
        return _Mean(self.stride)


class _Mean(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(stride)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.pool(images),)


class TwoMapsBackbone(Backbone):
    """Two convolutions: maps of a quarter and an eighth of the image's sides."""

    kind: Literal["helpers.tiny_backbones:TwoMapsBackbone"] = (
        "helpers.tiny_backbones:TwoMapsBackbone"
    )

    def build(self, weights: str) -> nn.Module:
        return TwoMaps()


class TwoMaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 2, stride=2)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(images).relu()
        return fine, self.coarse(fine).relu()

"""Backbones for tests: one that costs nothing, one whose map is the image itself."""

from typing import Literal

import torch
from torch import nn

from ray_al.core.variants import Backbone


class TinyBackbone(Backbone):
    """Two random convolutions, strides 4 and 8."""

    kind: Literal["tiny_backbones:TinyBackbone"] = "tiny_backbones:TinyBackbone"
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

    kind: Literal["tiny_backbones:MeanBackbone"] = "tiny_backbones:MeanBackbone"
    stride: int = 4

    def build(self, weights: str) -> nn.Module:
        return _Mean(self.stride)


class _Mean(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(stride)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.pool(images),)

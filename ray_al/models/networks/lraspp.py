"""Lite reduced atrous spatial pyramid pooling (see `ray_al/models/heads/lraspp.py`)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Lraspp(nn.Module):
    """Gives logits (N, C, h, w) at the size of the finer of two maps (N, c, h, w).

    Args:
        channels: of all maps, from fine to coarse.
        num_classes: C.
        width: number of channels in the coarse branch.
        maps: numbers of the fine and of the coarse map.
        dropout: probability that a channel of the coarse branch is dropped in training.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        width: int,
        maps: tuple[int, int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.fine, self.coarse = maps
        low, high = channels[self.fine], channels[self.coarse]
        self.cbr = nn.Sequential(
            nn.Conv2d(high, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(high, width, 1, bias=False), nn.Sigmoid()
        )
        self.dropout = nn.Dropout2d(dropout)
        self.low_classifier = nn.Conv2d(low, num_classes, 1)
        self.high_classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return logits (N, C, h, w)."""
        low, high = maps[self.fine], maps[self.coarse]
        values = self.cbr(high) * self.scale(high)
        values = F.interpolate(values, size=low.shape[-2:], mode="bilinear", align_corners=False)
        logits: torch.Tensor = self.low_classifier(low) + self.high_classifier(self.dropout(values))
        return logits

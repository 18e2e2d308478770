"""A small feature pyramid (see `ray_al/models/heads/fpn.py`)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Fpn(nn.Module):
    """Gives logits (N, C, h, w) at the size of the finest of the maps (N, c, h, w).

    Args:
        channels: of the maps, from fine to coarse.
        num_classes: C.
        width: number of channels in the pyramid.
        dropout: probability that a channel is dropped in training.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_block(count, width) for count in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(_block(width, width, 3, width), _block(width, width)) for _ in channels
        )
        self.context = nn.Sequential(nn.Linear(channels[-1], width), nn.ReLU())
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return logits (N, C, h, w)."""
        coarsest = len(self.lateral) - 1
        context = self.context(maps[coarsest].mean((2, 3)))[:, :, None, None]
        pyramid = self.smooth[coarsest](self.lateral[coarsest](maps[coarsest]) + context)
        for level in range(coarsest - 1, -1, -1):
            size = maps[level].shape[-2:]
            coarse = F.interpolate(pyramid, size=size, mode="bilinear", align_corners=False)
            pyramid = self.smooth[level](self.lateral[level](maps[level]) + coarse)
        logits: torch.Tensor = self.classifier(self.dropout(pyramid))
        return logits


def _block(inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

"""A small feature pyramid.

Lin and others, "Feature Pyramid Networks for Object Detection", CVPR 2017 (lateral 1x1 convolutions and
the sum from coarse to fine), with depthwise 3x3 smoothing and the image's mean added at the coarsest map.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from ray_al.core.section import Count
from ray_al.core.variants import Head


class FpnHead(Head):
    """A pyramid over all maps; logits come at the finest one."""

    kind: Literal["fpn"] = "fpn"
    hidden_layer: ClassVar[str] = "smooth.0"
    width: Count = 64
    """Channels of the pyramid."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability that a channel is dropped before the last layer, in training."""

    def build(self, channels: Sequence[int], num_classes: int) -> nn.Module:
        """As `Head.build`."""
        return Fpn(channels, num_classes, self.width, self.dropout)


class Fpn(nn.Module):
    """Logits (N, C, h, w) at the finest of the maps (N, c, h, w)."""

    def __init__(self, channels: Sequence[int], num_classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_block(count, width) for count in channels)
        self.smooth = nn.ModuleList(nn.Sequential(_block(width, width, 3, width), _block(width, width)) for _ in channels)
        self.context = nn.Sequential(nn.Linear(channels[-1], width), nn.ReLU())
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Logits (N, C, h, w)."""
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

"""Lite reduced atrous spatial pyramid pooling.

Howard and others, "Searching for MobileNetV3", ICCV 2019, section 6.4 and figure 10, as torchvision
builds it: the image's mean chooses among channels of the coarse map, which then joins the fine one.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.section import Count, Number
from ray_al.core.variants import Head


class LrasppHead(Head):
    """Reads two maps; logits come at the finer one of them."""

    kind: Literal["lraspp"] = "lraspp"
    hidden_layer: ClassVar[str] = "cbr"
    width: Count = 128
    """Channels of the coarse branch."""
    maps: tuple[Number, Number] | None = None
    """Numbers of the fine and of the coarse map, from 0; None: the second (of two: the first) and the last."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a channel of the coarse branch is dropped before the last layer, in training."""

    def build(self, channels: Sequence[int], num_classes: int) -> nn.Module:
        """As `Head.build`."""
        count = len(channels)
        if count < 2:
            raise ConfigError(
                f"model.head.kind 'lraspp': it reads two maps, model.backbone gives {count}; name more layers there, or choose linear or fpn"
            )
        fine, coarse = self.maps or (min(1, count - 2), count - 1)
        if not fine < coarse < count:
            message = f"model.head.maps: {fine} and {coarse} of the {count} maps 0 to {count - 1} that model.backbone gives"
            raise ConfigError(f"{message}; name a finer and then a coarser one of these")
        return Lraspp(channels, num_classes, self.width, (fine, coarse), self.dropout)


class Lraspp(nn.Module):
    """Logits (N, C, h, w) at the fine one of two maps (N, c, h, w)."""

    def __init__(self, channels: Sequence[int], num_classes: int, width: int, maps: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.fine, self.coarse = maps
        low, high = channels[self.fine], channels[self.coarse]
        self.cbr = nn.Sequential(nn.Conv2d(high, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(high, width, 1, bias=False), nn.Sigmoid())
        self.dropout = nn.Dropout2d(dropout)
        self.low_classifier = nn.Conv2d(low, num_classes, 1)
        self.high_classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Logits (N, C, h, w)."""
        low, high = maps[self.fine], maps[self.coarse]
        values = self.cbr(high) * self.scale(high)
        values = F.interpolate(values, size=low.shape[-2:], mode="bilinear", align_corners=False)
        logits: torch.Tensor = self.low_classifier(low) + self.high_classifier(self.dropout(values))
        return logits

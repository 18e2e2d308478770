"""A linear classifier of every cell: how much the features themselves tell.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop 2017.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.section import Number
from ray_al.core.variants import Head


class LinearHead(Head):
    """A 1x1 convolution; logits come at the finest map that it reads."""

    kind: Literal["linear"] = "linear"
    hidden_layer: ClassVar[str] = "joined"
    maps: Annotated[tuple[Number, ...], Field(min_length=1)] | None = None
    """Numbers of the maps that it reads, from 0; None: all."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a channel is dropped, in training."""

    def build(self, channels: Sequence[int], num_classes: int) -> nn.Module:
        """As `Head.build`."""
        chosen = tuple(range(len(channels))) if self.maps is None else self.maps
        if max(chosen) >= len(channels) or list(chosen) != sorted(set(chosen)):
            message = f"model.head.maps: {list(chosen)}; model.backbone gives the {len(channels)} maps 0 to {len(channels) - 1}"
            raise ConfigError(f"{message}; name some of these, from fine to coarse, each once")
        return Linear(channels, num_classes, chosen, self.dropout)


class Linear(nn.Module):
    """Logits (N, C, h, w) at the first of the chosen maps (N, c, h, w)."""

    def __init__(self, channels: Sequence[int], num_classes: int, chosen: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.joined = Joined(chosen)
        self.norm = nn.BatchNorm2d(sum(channels[number] for number in chosen))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(self.norm.num_features, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Logits (N, C, h, w)."""
        logits: torch.Tensor = self.classifier(self.dropout(self.norm(self.joined(maps))))
        return logits


class Joined(nn.Module):
    """Chosen maps as one of (N, sum of c, h, w), all as large as the first of them."""

    def __init__(self, chosen: tuple[int, ...]) -> None:
        super().__init__()
        self.chosen = chosen

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The joined map."""
        first = maps[self.chosen[0]]
        others = [F.interpolate(maps[n], size=first.shape[-2:], mode="bilinear", align_corners=False) for n in self.chosen[1:]]
        return torch.cat([first, *others], dim=1)

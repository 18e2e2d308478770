"""A linear classifier of every cell (see `ray_al/models/heads/linear.py`)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Linear(nn.Module):
    """Gives logits (N, C, h, w) at the size of the first of the chosen maps (N, c, h, w).

    Args:
        channels: of the maps, from fine to coarse.
        num_classes: C.
        chosen: numbers of the maps that are read.
        dropout: probability that a channel is dropped in training.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, chosen: tuple[int, ...], dropout: float
    ) -> None:
        super().__init__()
        self.joined = Joined(chosen)
        self.norm = nn.BatchNorm2d(sum(channels[number] for number in chosen))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(self.norm.num_features, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return logits (N, C, h, w)."""
        logits: torch.Tensor = self.classifier(self.dropout(self.norm(self.joined(maps))))
        return logits


class Joined(nn.Module):
    """Joins chosen maps to one (N, sum of c, h, w), resized to the first of them."""

    def __init__(self, chosen: tuple[int, ...]) -> None:
        super().__init__()
        self.chosen = chosen

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return the joined map."""
        first = maps[self.chosen[0]]
        others = [
            F.interpolate(maps[place], size=first.shape[-2:], mode="bilinear", align_corners=False)
            for place in self.chosen[1:]
        ]
        return torch.cat([first, *others], dim=1)

"""Wrap networks of timm."""

import torch
from torch import nn


class ChosenMaps(nn.Module):
    """Returns some of the maps of a network as a tuple.

    Args:
        network: returns a list of maps.
        chosen: numbers of the maps, from fine to coarse.
    """

    def __init__(self, network: nn.Module, chosen: list[int]) -> None:
        super().__init__()
        self.network = network
        self.chosen = chosen

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return maps (N, c, h, w) of images (N, 3, H, W), from fine to coarse."""
        maps = self.network(images)
        return tuple(maps[number] for number in self.chosen)

"""What is put around a network of timm."""

import torch
from torch import nn


class ChosenMaps(nn.Module):
    """Some of the maps of a network, as a tuple."""

    def __init__(self, network: nn.Module, chosen: list[int]) -> None:
        super().__init__()
        self.network, self.chosen = network, chosen

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps (N, c, h, w) of images (N, 3, H, W), from fine to coarse."""
        maps = self.network(images)
        return tuple(maps[number] for number in self.chosen)

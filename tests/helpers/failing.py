"""A network that passes every check and fails in training."""

import torch
from torch import nn


class Failing(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ValueError("this network cannot be trained")
        logits: torch.Tensor = self.layer(images)
        return logits

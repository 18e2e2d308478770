"""A model whose process ends in training, as the kernel's OOM killer or a segfault ends it."""

import os

import torch
from torch import nn


class Crashing(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, num_classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            os._exit(77)
        logits: torch.Tensor = self.convolution(images)
        return logits

"""A model whose process ends in training, as the kernel's OOM killer or a segfault ends it."""

import os

from torch import nn


class Crashing(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.convolution = nn.Conv2d(3, num_classes, 1)

    def forward(self, images):
        if self.training:
            os._exit(77)
        return self.convolution(images)

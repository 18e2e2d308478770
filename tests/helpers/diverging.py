"""Build networks whose logits are sound, not finite, or too large to train on."""

import torch
from torch import nn


class Net(nn.Module):
    """A small network whose logits are multiplied by `factor`."""

    def __init__(self, num_classes: int, factor: float = 1.0) -> None:
        super().__init__()
        self.body, self.drop, self.head = (
            nn.Conv2d(3, 8, 3, padding=1, stride=2),
            nn.Dropout2d(0.5),
            nn.Conv2d(8, num_classes, 1),
        )
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.drop(self.body(images)))
        return logits * self.factor


def sound(num_classes: int) -> Net:
    return Net(num_classes)


def broken(num_classes: int) -> Net:
    return Net(num_classes, float("nan"))


def steep(num_classes: int) -> Net:
    return Net(num_classes, 1e20)


def steepest(num_classes: int) -> Net:
    return Net(num_classes, 1e32)


def overflowing(num_classes: int) -> Net:
    return Net(num_classes, float("inf"))

"""Build small networks that `model.name` can name, and others that are wrapped or foreign."""

import torch
from torch import nn


def linear(num_classes: int) -> nn.Module:
    return nn.Conv2d(3, num_classes, 3, padding=1)


def plain(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(8, num_classes, 1)
    )


def normalised(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, num_classes, 1),
    )


def tiny_with_dropout(num_classes: int) -> nn.Module:
    """A network with a dropout of its own, at half of the input's resolution."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(8, num_classes, 1),
    )


def small(num_classes: int = 2, width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.Conv2d(width, num_classes, 1)
    )


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = small(3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.inner(x)}


class Viewing(nn.Module):
    """A network that wants its images contiguous."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.conv(x.view(len(x), -1).view(x.shape))
        return logits


class Foreign(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.norm, self.act = (
            nn.Conv2d(3, 6, 3, padding=1, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
        )
        self.head, self.unused = nn.Conv2d(6, num_classes, 1), nn.Identity()

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.head(self.act(self.norm(self.conv(images))))}

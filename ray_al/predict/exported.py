"""The network that is exported: it takes pixels as they are read, and gives logits and classes."""

import torch
from torch import nn
from torch.nn import functional

from ray_al.models.prepare import IMAGENET_MEAN, IMAGENET_STD

OUTPUTS = ("logits", "class_ids")


class ExportedNetwork(nn.Module):
    """A network with the preparation of its images inside.

    Its input is of bytes, so nobody can forget to scale or normalise it: values of another type
    are refused by whatever runs the file.

    Args:
        network: takes normalised images (N, 3, H, W).
        normalize: as `data.normalize`: `imagenet`, or `none`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, normalize: str) -> None:
        super().__init__()
        self.network = network
        is_imagenet = normalize == "imagenet"
        mean = IMAGENET_MEAN if is_imagenet else (0.0, 0.0, 0.0)
        std = IMAGENET_STD if is_imagenet else (1.0, 1.0, 1.0)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits, float32 (N, C, H, W), and class ids, uint8 (N, H, W).

        Args:
            images: uint8 (N, H, W, 3), red first.
        """
        pixels = images.permute(0, 3, 1, 2).float() / 255
        logits = self.network((pixels - self.mean) / self.std)
        resized = functional.interpolate(
            logits, size=images.shape[1:3], mode="bilinear", align_corners=False
        )
        return resized, resized.argmax(1).to(torch.uint8)

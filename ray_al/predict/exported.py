"""The network that is exported: it takes pixels as they are read, and gives logits and classes."""

import torch
from torch import nn
from torch.nn import functional

from ray_al.core.config.pixels import ChannelStatistics, Normalize
from ray_al.models.prepare import IMAGENET

OUTPUTS = ("logits", "class_ids")


class ExportedNetwork(nn.Module):
    """A network with the preparation of its images inside.

    The input of a run on photographs is of bytes, so nobody can forget to scale or normalise it:
    values of another type are refused by whatever runs the file.

    Args:
        network: takes normalised images (N, K, H, W).
        normalize: as `data.normalize` of a run that has begun, in which nothing is to be measured.
        channels: number K of channels.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, normalize: Normalize, channels: int = 3) -> None:
        super().__init__()
        self.network = network
        statistics = IMAGENET if normalize == "imagenet" else normalize
        if not isinstance(statistics, ChannelStatistics):
            statistics = ChannelStatistics(mean=(0.0,) * channels, std=(1.0,) * channels)
        self.register_buffer("mean", torch.tensor(statistics.mean).view(1, channels, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).view(1, channels, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits, float32 (N, C, H, W), and class ids, uint8 (N, H, W).

        Args:
            images: uint8 or float32 (N, H, W, K), from 0 to 255, red first.
        """
        pixels = images.permute(0, 3, 1, 2).float() / 255
        logits = self.network((pixels - self.mean) / self.std)
        resized = functional.interpolate(
            logits, size=images.shape[1:3], mode="bilinear", align_corners=False
        )
        return resized, resized.argmax(1).to(torch.uint8)

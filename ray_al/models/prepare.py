"""What training and scoring do alike to images and models."""

from typing import Literal

import numpy as np
import torch
from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def images_to_tensor(
    images: np.ndarray,
    normalize: Literal["imagenet", "none"],
    device: torch.device | str = "cpu",
    memory_format: torch.memory_format = torch.contiguous_format,
) -> torch.Tensor:
    """A network's input.

    Args:
        images: uint8 array of shape (N, H, W, 3).
        normalize: `imagenet` subtracts ImageNet's mean and divides by its deviation; `none` only scales to [0, 1].
        device: where the tensor lies; bytes are moved, floats are made there.
        memory_format: `channels_last` costs no copy, images are decoded so.

    Returns:
        float32 tensor of shape (N, 3, H, W).
    """
    count, height, width, channels = images.shape
    own = (
        images if images.flags.writeable and images.flags.c_contiguous else images.copy()
    )  # torch warns of others
    rows = torch.from_numpy(own).to(device).view(count, height, width * channels).float().div_(255)
    if normalize == "imagenet":
        # A whole row at a time: a vector of three channels is too short for the processor's vector units.
        mean, std = (
            torch.tensor(values, device=device).repeat(width)
            for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        rows.sub_(mean).div_(std)
    return (
        rows.view(count, height, width, channels)
        .permute(0, 3, 1, 2)
        .contiguous(memory_format=memory_format)
    )


def set_batch_norm_momentum(model: nn.Module, momentum: float | None) -> None:
    """Give every batch normalisation layer of `model` this momentum (None: a plain average over all batches)."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = momentum

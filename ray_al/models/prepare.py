"""Prepare images and models in the same way for training and scoring."""

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
    """Return images as the input of a network.

    Args:
        images: uint8 array of shape (N, H, W, 3).
        normalize: `imagenet` subtracts the mean of ImageNet and divides by its standard deviation;
            `none` only scales to [0, 1].
        device: of the tensor. Bytes are moved to it, and become floats there.
        memory_format: `channels_last` costs no copy, as images are decoded in it.

    Returns:
        float32 tensor of shape (N, 3, H, W).
    """
    count, height, width, channels = images.shape
    is_own = images.flags.writeable and images.flags.c_contiguous  # torch warns about others
    own = images if is_own else images.copy()
    rows = torch.from_numpy(own).to(device).view(count, height, width * channels).float().div_(255)
    if normalize == "imagenet":
        # A whole row at a time: three channels are too few for the processor's vector units.
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
    """Set the momentum of every batch normalisation layer; None averages all batches alike."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = momentum

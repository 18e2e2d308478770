"""Prepare images and models in the same way for training and scoring."""

import numpy as np
import torch
from torch import nn

from ray_al.core.config.pixels import ChannelStatistics, Normalize

IMAGENET = ChannelStatistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def images_to_tensor(
    images: np.ndarray,
    normalize: Normalize,
    device: torch.device | str = "cpu",
    memory_format: torch.memory_format | None = None,
) -> torch.Tensor:
    """Return images as the input of a network.

    Args:
        images: uint8 or float32 array of shape (N, H, W, C), from 0 to 255.
        normalize: `data.normalize`: means are subtracted, and the result is divided by standard
            deviations; `none` only scales to [0, 1].
        device: of the tensor. Bytes are moved to it, and become floats there.
        memory_format: `channels_last` costs no copy, as images are decoded in it. None takes it on
            the CPU, where convolutions are faster with it, and `contiguous_format` elsewhere.

    Returns:
        float32 tensor of shape (N, C, H, W).
    """
    if memory_format is None:
        on_cpu = torch.device(device).type == "cpu"
        memory_format = torch.channels_last if on_cpu else torch.contiguous_format
    count, height, width, channels = images.shape
    is_own = images.flags.writeable and images.flags.c_contiguous  # torch warns about others
    own = images if is_own and images.dtype == np.uint8 else images.copy()
    rows = torch.from_numpy(own).to(device).view(count, height, width * channels).float().div_(255)
    assert normalize != "measured", "a run that begins has replaced it by what was measured"
    statistics = IMAGENET if normalize == "imagenet" else normalize
    if isinstance(statistics, ChannelStatistics):
        # A whole row at a time: three channels are too few for the processor's vector units.
        mean, std = (
            torch.tensor(values, device=device).repeat(width)
            for values in (statistics.mean, statistics.std)
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

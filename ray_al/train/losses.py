"""Losses over the labelled pixels of a batch, and EquAL's over all of them."""

import torch
import torch.nn.functional as F
from torch import nn

from ray_al.core.types import IGNORE_INDEX


def resize_logits(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Logits of shape (N, C, h, w) resized bilinearly to (N, C, *size)."""
    return logits if tuple(logits.shape[-2:]) == tuple(size) else F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def cross_entropy_sum(logits: torch.Tensor, target: torch.Tensor, class_weights: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy summed over the labelled pixels.

    Args:
        logits: shape (N, C, H, W).
        target: int64 class ids of shape (N, H, W), 255 where there is no label.
        class_weights: shape (C,), or None.

    Returns:
        The sum (zero, never nan, without a labelled pixel) and the number of labelled pixels, both float32 scalars.
    """
    total = F.cross_entropy(logits.float(), target, weight=class_weights, ignore_index=IGNORE_INDEX, reduction="sum")
    return total, (target != IGNORE_INDEX).sum().float()


def consistency_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """EquAL's self-consistency (Golestaneh and Kitani, BMVC 2020): each prediction is pulled to the other, over all pixels.

    Args:
        a: prediction, any shape.
        b: prediction of the mirrored image, mirrored back, the same shape.

    Returns:
        MSE(a, stop-gradient(b)) + MSE(b, stop-gradient(a)), a scalar.
    """
    return F.mse_loss(a, b.detach()) + F.mse_loss(b, a.detach())


def mirror_pair(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the images and, mirrored back, of the mirrored images.

    One forward pass over both: DistributedDataParallel allows one before each backward pass.
    """
    a, b = model(torch.cat([images, images.flip(3)])).chunk(2)
    return a, b.flip(3)

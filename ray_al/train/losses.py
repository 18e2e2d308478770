"""Losses over the labelled pixels of a batch, and EquAL's loss over all pixels."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ray_al.core.families.losses import Loss
from ray_al.core.types import IGNORE_INDEX
from ray_al.train.partial import prototype_loss_sum


def resize_logits(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize logits of shape (N, C, h, w) bilinearly to (N, C, *size)."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def cross_entropy_sum(
    logits: torch.Tensor, target: torch.Tensor, class_weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum the cross entropy over the labelled pixels.

    Args:
        logits: shape (N, C, H, W).
        target: int64 class ids of shape (N, H, W), 255 where there is no label.
        class_weights: shape (C,), or None.

    Returns:
        The sum, which is zero without a labelled pixel, and the number of labelled pixels; both are
        float32 scalars.
    """
    total = F.cross_entropy(
        logits.float(), target, weight=class_weights, ignore_index=IGNORE_INDEX, reduction="sum"
    )
    return total, (target != IGNORE_INDEX).sum().float()


class Sums(NamedTuple):
    """Sums over the labels of a batch.

    Attributes:
        labels: `Loss.sums` or `Loss.set_sums`, one axis.
        prototypes: prototypical pixel loss, a scalar.
        pairs: number of pairs of a region and a class in that loss, a scalar.
    """

    labels: torch.Tensor
    prototypes: torch.Tensor
    pairs: torch.Tensor


def label_sums(
    loss: Loss,
    logits: torch.Tensor,
    target: torch.Tensor,
    class_weights: torch.Tensor | None = None,
) -> Sums:
    """Compute the sums of labels of any kind.

    Args:
        loss: loss of the labels.
        logits: shape (N, C, H, W).
        target: int64, either class ids (N, H, W) with 255 for no label, or (N, H, W, 2) with sets
            of classes as bits and region numbers from 1.
        class_weights: shape (C,), or None.
    """
    zero = torch.zeros((), device=logits.device)
    logits = logits.float()
    if target.ndim == 3:
        return Sums(loss.sums(logits, target, class_weights), zero, zero)
    bits, regions = target[..., 0], (target[..., 1] - 1).int()
    several = (bits & (bits - 1)) != 0
    prototypes = prototype_loss_sum(logits, regions, bits) if several.any() else (zero, zero)
    return Sums(loss.set_sums(logits, bits, class_weights), *prototypes)


def consistency_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Compute EquAL's self-consistency loss, which pulls two predictions towards each other.

    Source: Golestaneh and Kitani, "Importance of Self-Consistency in Active Learning for Semantic
    Segmentation", BMVC 2020.

    Args:
        a: prediction, any shape.
        b: prediction of the mirrored image, mirrored back, the same shape.

    Returns:
        MSE(a, stop-gradient(b)) + MSE(b, stop-gradient(a)), a scalar.
    """
    return F.mse_loss(a, b.detach()) + F.mse_loss(b, a.detach())


def split_pair(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split logits of pairs into those of the images and, mirrored back, of the mirrored images.

    Both come from one forward pass, because DistributedDataParallel allows only one before each
    backward pass.

    Args:
        logits: shape (2N, C, h, w), the mirrored images in the second half.

    Returns:
        Two tensors of shape (N, C, h, w).
    """
    a, b = logits.chunk(2)
    return a, b.flip(3)

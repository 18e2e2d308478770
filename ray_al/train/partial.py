"""Losses on partial labels: a pixel's target is the set of classes that it may have, as int64 bits (bit c for class c, 0 for no label).

Source: MulActSeg (Hwang et al., "Active Learning for Semantic Segmentation with Multi-class Label Query", NeurIPS 2023), stage 1. From its
code: both losses below; cross entropy, merged positive and prototypical pixel loss are each divided by their own number of terms plus one
and added, on Cityscapes with the weights 16, 8 and 1 and logits divided by 0.1 first. Not confirmed: the equations as the paper prints
them; its text was not read.
"""

import torch

from ray_al.datasets.bits import MAX_CLASSES, bits_of_ids, check_num_classes, fill_bits


def partial_cross_entropy_sum(
    logits_NCHW: torch.Tensor, bits_NHW: torch.Tensor, class_weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """-ln sum_{c in set} p_c summed over the labelled pixels: MulActSeg's "merged positive" loss, cross entropy where the set is one class.

    It is a logsumexp of ln p_c over the set, so that nothing underflows; MulActSeg's code adds 1e-8 inside the logarithm.

    Args:
        logits_NCHW: any floating type; sums are taken in float32, or float64 for float64.
        bits_NHW: int64 bit sets; classes from C on are not looked at.
        class_weights: shape (C,), or None; a pixel's loss is multiplied by the mean over its set.

    Returns:
        The sum (zero, never nan, without a labelled pixel) and the number of labelled pixels, both scalars.
    """
    bits = _within(bits_NHW, logits_NCHW.shape[1])
    labelled = bits != 0
    log_p = _log_p(logits_NCHW, labelled)
    members = _members(bits[labelled], log_p.shape[1])
    losses = -log_p.masked_fill(~members, -torch.inf).logsumexp(1)
    if class_weights is not None:
        losses = losses * (members * class_weights).sum(1) / members.sum(1)
    return losses.sum(), labelled.sum().to(log_p.dtype)


def prototype_loss_sum(
    logits_NCHW: torch.Tensor, regions_NHW: torch.Tensor, bits_NHW: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """MulActSeg's "prototypical pixel" loss: for each multi-class region and each class of its set, -ln p_c at the pixel with the highest p_c.

    Regions of one class take no part (as in the training script of MulActSeg's code); the first of equal pixels, row by row, is taken.
    One pixel may be the prototype of several classes. A class whose pixels lie outside the crop is pushed all the same.

    Args:
        logits_NCHW: any floating type; sums are taken in float32, or float64 for float64.
        regions_NHW: int32 region number of each pixel, -1 for none; images may use the same numbers.
        bits_NHW: int64 bit sets, the same at all pixels of a region. Where they differ, a pixel stands for the classes of its own set.

    Returns:
        The sum (zero, never nan, without a multi-class region) and the number of pairs of region and class, both scalars.
    """
    bits = _within(bits_NHW, logits_NCHW.shape[1])
    taking_part = (bits & (bits - 1) != 0) & (regions_NHW >= 0)  # two bits or more
    log_p = _log_p(logits_NCHW, taking_part)
    names = torch.stack(
        [taking_part.nonzero()[:, 0], regions_NHW[taking_part].long()], 1
    )  # image and region
    region = torch.unique(names, dim=0, return_inverse=True)[1]
    candidates = log_p.detach().masked_fill(
        ~_members(bits[taking_part], log_p.shape[1]), -torch.inf
    )
    chosen = log_p[_prototypes(candidates, region)]
    return -chosen.sum(), torch.tensor(len(chosen), dtype=log_p.dtype, device=log_p.device)


def _prototypes(
    log_p_PC: torch.Tensor, region_P: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first pixel with the highest value of each region and class.

    Args:
        log_p_PC: values of the pixels, -inf where a class is no candidate.
        region_P: int64 region number, from 0 without gaps.

    Returns:
        Pixel and class of each pair of region and class that has a candidate, two int64 tensors of the same length.
    """
    num_pixels, num_classes = log_p_PC.shape
    shape = (int(region_P.max()) + 1 if num_pixels else 0, num_classes)
    index = region_P.unsqueeze(1).expand(-1, num_classes)
    highest = log_p_PC.new_full(shape, -torch.inf).scatter_reduce(0, index, log_p_PC, "amax")
    position = torch.arange(num_pixels, device=region_P.device).unsqueeze(1).expand(-1, num_classes)
    candidate = (log_p_PC == highest[region_P]) & (log_p_PC > -torch.inf)
    first = position.new_full(shape, num_pixels).scatter_reduce(
        0, index, position.masked_fill(~candidate, num_pixels), "amin"
    )
    row, column = torch.nonzero(first < num_pixels, as_tuple=True)
    return first[row, column], column


def _within(bits: torch.Tensor, num_classes: int) -> torch.Tensor:
    return bits & ((1 << num_classes) - 1)


def _log_p(logits_NCHW: torch.Tensor, where_NHW: torch.Tensor) -> torch.Tensor:
    """ln p_c, (P, C), of the pixels where `where_NHW`, row by row: few are labelled, and the others are not worth a softmax."""
    logits_PC = logits_NCHW.movedim(1, -1)[where_NHW]
    return logits_PC.to(torch.promote_types(logits_PC.dtype, torch.float32)).log_softmax(1)


def _members(bits_P: torch.Tensor, num_classes: int) -> torch.Tensor:
    """bool (P, C): class by class, as one shift of all would take eight bytes a pixel and class."""
    return torch.stack([bits_P & (1 << c) != 0 for c in range(num_classes)], 1)


__all__ = [
    "MAX_CLASSES",
    "bits_of_ids",
    "check_num_classes",
    "fill_bits",
    "partial_cross_entropy_sum",
    "prototype_loss_sum",
]

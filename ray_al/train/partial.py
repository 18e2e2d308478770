"""Losses on partial labels.

The target of a pixel is the set of classes that it may have, as int64 bits: bit c for class c, and
0 for no label.

Source: MulActSeg (Hwang et al., "Active Learning for Semantic Segmentation with Multi-class Label
Query", NeurIPS 2023), stage 1. Both losses follow its code, which divides cross entropy, merged
positive loss and prototypical pixel loss by their own number of terms plus one, and adds them; on
Cityscapes with the weights 16, 8 and 1, and with logits divided by 0.1 first. Not confirmed: the
equations as the paper prints them; its text was not read.
"""

import torch


def partial_cross_entropy_sum(
    logits_NCHW: torch.Tensor, bits_NHW: torch.Tensor, class_weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum -ln sum_{c in set} p_c over the labelled pixels, MulActSeg's "merged positive" loss.

    For a set of one class it is the cross entropy. It is computed as a logsumexp of ln p_c over the
    set, which cannot underflow; MulActSeg's code adds 1e-8 inside the logarithm instead.

    Args:
        logits_NCHW: any floating type; float64 is summed in float64, all others in float32.
        bits_NHW: int64 bit sets; bits from C on are ignored.
        class_weights: shape (C,), or None. The loss of a pixel is multiplied by the mean weight of
            its set.

    Returns:
        The sum, which is zero without a labelled pixel, and the number of labelled pixels; both are
        scalars.
    """
    losses, members = partial_cross_entropy(logits_NCHW, bits_NHW)
    losses = weigh_sets(losses, members, class_weights)
    return losses.sum(), torch.tensor(len(losses), dtype=losses.dtype, device=losses.device)


def partial_cross_entropy(
    logits_NCHW: torch.Tensor, bits_NHW: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute -ln sum_{c in set} p_c of each labelled pixel; arguments as above.

    Returns:
        Losses (P,) of the P labelled pixels, and bool (P, C): whether a class is in the set.
    """
    bits = _within(bits_NHW, logits_NCHW.shape[1])
    labelled = bits != 0
    log_p = _log_p(logits_NCHW, labelled)
    members = _members(bits[labelled], log_p.shape[1])
    return -log_p.masked_fill(~members, -torch.inf).logsumexp(1), members


def weigh_sets(
    losses_P: torch.Tensor, members_PC: torch.Tensor, class_weights: torch.Tensor | None
) -> torch.Tensor:
    """Multiply the loss of each pixel by the mean weight of its set."""
    if class_weights is None:
        return losses_P
    return losses_P * (members_PC * class_weights).sum(1) / members_PC.sum(1)


def prototype_loss_sum(
    logits_NCHW: torch.Tensor, regions_NHW: torch.Tensor, bits_NHW: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum MulActSeg's "prototypical pixel" loss over regions and classes.

    For each region with several classes and each class of its set, the loss is -ln p_c at the
    pixel of the region with the highest p_c. Among equal pixels, the first one in row-major order
    is taken. One pixel may be the prototype of several classes. Regions of one class take no part,
    as in the training script of MulActSeg's code. A class is also raised if all of its pixels lie
    outside the crop.

    Args:
        logits_NCHW: any floating type; float64 is summed in float64, all others in float32.
        regions_NHW: int32 region number of each pixel, -1 for none; different images may use the
            same numbers.
        bits_NHW: int64 bit sets, the same at all pixels of a region. If they differ, a pixel is a
            candidate for the classes of its own set only.

    Returns:
        The sum, which is zero without a region of several classes, and the number of pairs of a
        region and a class; both are scalars.
    """
    bits = _within(bits_NHW, logits_NCHW.shape[1])
    taking_part = (bits & (bits - 1) != 0) & (regions_NHW >= 0)  # two bits or more
    log_p = _log_p(logits_NCHW, taking_part)
    image_and_region = torch.stack(
        [taking_part.nonzero()[:, 0], regions_NHW[taking_part].long()], 1
    )
    region = torch.unique(image_and_region, dim=0, return_inverse=True)[1]
    candidates = log_p.detach().masked_fill(
        ~_members(bits[taking_part], log_p.shape[1]), -torch.inf
    )
    chosen = log_p[_prototypes(candidates, region)]
    return -chosen.sum(), torch.tensor(len(chosen), dtype=log_p.dtype, device=log_p.device)


def _prototypes(
    log_p_PC: torch.Tensor, region_P: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the first pixel with the highest value for each region and class.

    Args:
        log_p_PC: values of the pixels, -inf if a pixel is not a candidate for a class.
        region_P: int64 region numbers, from 0 without gaps.

    Returns:
        Pixel and class of each pair of a region and a class that has a candidate; two int64 tensors
        of the same length.
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
    """Clear the bits of classes from `num_classes` on."""
    return bits & ((1 << num_classes) - 1)


def _log_p(logits_NCHW: torch.Tensor, where_NHW: torch.Tensor) -> torch.Tensor:
    """Return ln p_c, (P, C), of the P pixels at which `where_NHW` is true, in row-major order.

    Few pixels are labelled, so a softmax over all of them would be wasted.
    """
    logits_PC = logits_NCHW.movedim(1, -1)[where_NHW]
    return logits_PC.to(torch.promote_types(logits_PC.dtype, torch.float32)).log_softmax(1)


def _members(bits_P: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return whether each class is in each set, bool (P, C).

    Classes are tested one by one, because a shift of all would take 8 bytes per pixel and class.
    """
    return torch.stack([bits_P & (1 << c) != 0 for c in range(num_classes)], 1)

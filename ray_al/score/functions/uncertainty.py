"""Uncertainty of one prediction: Lewis and Gale, SIGIR 1994 (least confidence); Scheffer et al., IDA 2001 (margin)."""

import torch


def least_confidence(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """1 - max_c p_c, in [0, 1 - 1/C].

    >>> least_confidence(torch.zeros(1, 4, 1, 1)).item()
    0.75
    """
    return 1 - logits_NCHW.softmax(1).amax(1)


def margin(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """1 - (p_(1) - p_(2)), in [0, 1].

    >>> margin(torch.zeros(1, 4, 1, 1)).item()
    1.0
    """
    top = logits_NCHW.softmax(1).topk(min(2, logits_NCHW.shape[1]), dim=1).values
    return 1 - (top[:, 0] - top[:, 1]) if top.shape[1] == 2 else torch.zeros_like(top[:, 0])

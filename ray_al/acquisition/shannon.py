"""Compute Shannon's entropy, in nats, of logits and of shares."""

import torch


def entropy(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """Return H(p) = -sum_c p_c ln p_c in nats, (N, H, W), in [0, ln C].

    It is 0, not nan, if p is one-hot.

    >>> round(entropy(torch.zeros(1, 2, 1, 1)).item(), 4)
    0.6931
    """
    log_p = logits_NCHW.log_softmax(1).clamp_min(torch.finfo(logits_NCHW.dtype).min)
    return -(log_p.exp() * log_p).sum(1).clamp_max(0)


def entropy_of_shares(p_NCHW: torch.Tensor) -> torch.Tensor:
    """Return H(p) in nats of shares that sum to 1 over the classes, (N, H, W).

    It is never below 0, although rounding may lift a share above 1.

    >>> round(entropy_of_shares(torch.full((1, 2, 1, 1), 0.5)).item(), 4)
    0.6931
    """
    entropies: torch.Tensor = torch.special.entr(p_NCHW)
    return entropies.sum(1).clamp_min(0)

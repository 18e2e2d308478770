"""Shannon's entropy in nats, of logits and of shares; everything that scores uncertainty builds on these two."""

import torch


def entropy(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """H(p) = -sum_c p_c ln p_c in nats, in [0, ln C]; 0 and not nan where p is one-hot.

    >>> round(entropy(torch.zeros(1, 2, 1, 1)).item(), 4)
    0.6931
    """
    log_p = logits_NCHW.log_softmax(1).clamp_min(torch.finfo(logits_NCHW.dtype).min)
    return -(log_p.exp() * log_p).sum(1).clamp_max(0)


def entropy_of_shares(p_NCHW: torch.Tensor) -> torch.Tensor:
    """H(p) in nats of shares that sum to 1 over the classes; never below 0, though rounding may lift a share above 1.

    >>> round(entropy_of_shares(torch.full((1, 2, 1, 1), 0.5)).item(), 4)
    0.6931
    """
    return torch.special.entr(p_NCHW).sum(1).clamp_min(0)

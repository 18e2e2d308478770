"""OREAL's one-vs-rest entropy: Wu et al., WACV 2025 (arXiv 2412.06470)."""

import torch


def one_vs_rest(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """sum_c H_b(p_c) in nats, H_b(p) = -p ln p - (1 - p) ln(1 - p); in [0, C ln 2]. A region takes its highest pixel.

    Not confirmed: the abstract names the entropy and the maximum over a region; that the classes' entropies are added without
    weights is inferred from it.

    >>> round(one_vs_rest(torch.zeros(1, 2, 1, 1)).item(), 4)
    1.3863
    """
    p = logits_NCHW.softmax(1)
    return (torch.special.entr(p) + torch.special.entr(1 - p)).sum(1)

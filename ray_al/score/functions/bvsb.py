"""Best versus second best as a ratio: Cai et al., CVPR 2021 (RevSpx), after Joshi et al., CVPR 2009, who take the difference."""

import torch


def bvsb(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """p_(2) / p_(1), in [0, 1]; 0 with one class.

    Taken as exp(z_(2) - z_(1)) of the logits z, which is the same and loses nothing where p_(1) rounds to 1.

    >>> bvsb(torch.zeros(1, 4, 1, 1)).item()
    1.0
    """
    top = logits_NCHW.topk(min(2, logits_NCHW.shape[1]), dim=1).values
    return (top[:, 1] - top[:, 0]).exp() if top.shape[1] == 2 else torch.zeros_like(top[:, 0])

"""Score pixels by best versus second best, as a ratio: Cai et al., CVPR 2021 (RevSpx).

Joshi et al., CVPR 2009, who introduced the comparison, take the difference.
"""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import LogitsAcquisition


class BestVersusSecondBest(LogitsAcquisition):
    """Ratio of the second highest probability to the highest."""

    paper: ClassVar[str] = "best versus second best: Cai et al., CVPR 2021"

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Return `bvsb`."""
        return bvsb(logits_NCHW)


def bvsb(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """Return p_(2) / p_(1), (N, H, W), in [0, 1]; 0 if there is one class.

    Computed as exp(z_(2) - z_(1)) from the logits z: the same value, without the loss of precision
    when p_(1) rounds to 1.

    >>> bvsb(torch.zeros(1, 4, 1, 1)).item()
    1.0
    """
    top = logits_NCHW.topk(min(2, logits_NCHW.shape[1]), dim=1).values
    return (top[:, 1] - top[:, 0]).exp() if top.shape[1] == 2 else torch.zeros_like(top[:, 0])

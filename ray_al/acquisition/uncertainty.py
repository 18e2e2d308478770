"""Score pixels by the uncertainty of one prediction: least confidence and margin."""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import LogitsAcquisition


class LeastConfidence(LogitsAcquisition):
    """One minus the highest probability."""

    paper: ClassVar[str] = "Lewis and Gale, SIGIR 1994"

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Return `least_confidence`."""
        return least_confidence(logits_NCHW)


class Margin(LogitsAcquisition):
    """One minus the difference between the two highest probabilities."""

    paper: ClassVar[str] = "Scheffer et al., IDA 2001"

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Return `margin`."""
        return margin(logits_NCHW)


def least_confidence(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """Return 1 - max_c p_c, (N, H, W), in [0, 1 - 1/C].

    >>> least_confidence(torch.zeros(1, 4, 1, 1)).item()
    0.75
    """
    return 1 - logits_NCHW.softmax(1).amax(1)


def margin(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """Return 1 - (p_(1) - p_(2)), (N, H, W), in [0, 1]; 0 if there is one class.

    >>> margin(torch.zeros(1, 4, 1, 1)).item()
    1.0
    """
    top = logits_NCHW.softmax(1).topk(min(2, logits_NCHW.shape[1]), dim=1).values
    return 1 - (top[:, 0] - top[:, 1]) if top.shape[1] == 2 else torch.zeros_like(top[:, 0])

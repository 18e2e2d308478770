"""Score pixels by the entropy of their prediction: Shannon, 1948; Settles, 2009."""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import LogitsAcquisition
from ray_al.acquisition.shannon import entropy


class Entropy(LogitsAcquisition):
    """Entropy of the prediction in nats."""

    paper: ClassVar[str] = "Shannon, 1948; Settles, 2009"

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Return H(p), in [0, ln C]."""
        return entropy(logits_NCHW)

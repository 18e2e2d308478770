"""Score pixels by OREAL's one-vs-rest entropy: Wu et al., WACV 2025 (arXiv 2412.06470)."""

from typing import ClassVar, Literal

import torch

from ray_al.acquisition.acquisition import LogitsAcquisition


class OneVsRest(LogitsAcquisition):
    """Sum over classes of the binary entropy; a region takes the score of its highest pixel."""

    paper: ClassVar[str] = "OREAL: Wu et al., WACV 2025"
    aggregation: ClassVar[Literal["mean", "max"]] = "max"

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Return `one_vs_rest`."""
        return one_vs_rest(logits_NCHW)


def one_vs_rest(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """Return sum_c H_b(p_c) in nats, (N, H, W), in [0, C ln 2].

    H_b(p) = -p ln p - (1 - p) ln(1 - p). Not confirmed: the abstract names the entropy and the
    maximum over a region; adding the entropies of the classes without weights is inferred from it.

    >>> round(one_vs_rest(torch.zeros(1, 2, 1, 1)).item(), 4)
    1.3863
    """
    p = logits_NCHW.softmax(1)
    entropies: torch.Tensor = torch.special.entr(p) + torch.special.entr(1 - p)
    return entropies.sum(1)

"""Pixel scores: pure, (N, C, H, W) logits in, (N, H, W) values out; higher is more worth labelling."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

PixelScore = Callable[[torch.Tensor], torch.Tensor]


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


def entropy(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """H(p) = -sum_c p_c ln p_c in nats, in [0, ln C]; 0 and not nan where p is one-hot.

    >>> round(entropy(torch.zeros(1, 2, 1, 1)).item(), 4)
    0.6931
    """
    log_p = logits_NCHW.log_softmax(1).clamp_min(torch.finfo(logits_NCHW.dtype).min)
    return -(log_p.exp() * log_p).sum(1).clamp_max(0)


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """A row of the table: `mirror` adds the score of the mirrored image's prediction, mirrored back."""

    paper: str
    pixel_score: PixelScore | None
    mirror: bool = False

    @property
    def needs_model(self) -> bool:
        return self.pixel_score is not None


ACQUISITIONS: Mapping[str, Acquisition] = {
    "random": Acquisition(paper="uniform, drawn from seed, cycle and region name", pixel_score=None),
    "least_confidence": Acquisition(paper="Lewis and Gale, SIGIR 1994", pixel_score=least_confidence),
    "margin": Acquisition(paper="Scheffer et al., IDA 2001", pixel_score=margin),
    "entropy": Acquisition(paper="Shannon, 1948; Settles, 2009", pixel_score=entropy),
    "equal": Acquisition(paper="EquAL: Golestaneh and Kitani, BMVC 2020", pixel_score=entropy, mirror=True),
}


def list_acquisitions() -> list[dict[str, str]]:
    """Name and source of every acquisition function."""
    return [{"name": name, "paper": row.paper} for name, row in ACQUISITIONS.items()]

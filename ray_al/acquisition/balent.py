"""Score pixels by balanced entropy: Woo, ICLR 2023 (openreview ZTMuZ68B1g)."""

import math
from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import ViewsAcquisition
from ray_al.acquisition.shannon import entropy_of_shares
from ray_al.acquisition.views import PredictionStatistics

MIN_VARIANCE = 1e-9
"""As in the author's code: no Beta distribution fits a class whose p never changes."""
MIN_BETA = 1e-3
"""h(Beta) falls like -1/beta, and beta is 0 for a class whose p is 1 in all passes."""
MIN_JOINT = 1e-6
"""A joint entropy of 0 has no inverse."""
LIMIT = 10.0
"""Scores are clipped to +-LIMIT. Near a joint entropy of 0, and if all passes are certain, they
reach thousands, and one such pixel would decide the mean of its region. The paper scores whole
images and needs no limit."""


class BalancedEntropy(ViewsAcquisition):
    """Balanced entropy acquisition, BalEntAcq."""

    paper: ClassVar[str] = "BalEntAcq: Woo, ICLR 2023"
    wants: ClassVar[frozenset[str]] = frozenset({"mean_p", "var_p"})
    signed: ClassVar[bool] = True

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return `balanced_entropy`."""
        return balanced_entropy(views)


def balanced_entropy(views: PredictionStatistics) -> torch.Tensor:
    """Return BalEntAcq, (N, H, W): (H(p̄) + ln 2) / MJEnt if MJEnt >= 0, else its inverse.

    MJEnt = sum_c p̄_c h(Beta(a_c + 1, b_c)) + H(p̄) is the marginalised joint entropy. h is the
    differential entropy, and Beta(a_c, b_c) matches the mean and variance of p_c over the passes.
    Scores are negative if MJEnt is, and lie within +-`LIMIT`.

    The variance is that of the population: it is always one that a Beta distribution can have. The
    author's code takes the sample variance and turns the resulting nan into a very low score.
    """
    mean, variance = views.mean_p.double(), views.var_p.double()
    spread = (mean * (1 - mean) / variance.clamp_min(MIN_VARIANCE) - 1).clamp_min(0)  # a + b
    beta = ((1 - mean) * spread).clamp_min(MIN_BETA)
    posterior = (mean * beta_entropy(mean * spread + 1, beta)).sum(1)
    marginal = entropy_of_shares(mean)
    joint, marginal = posterior + marginal, marginal + math.log(2)
    scores = torch.where(joint >= 0, marginal / joint.clamp_min(MIN_JOINT), joint / marginal)
    return scores.clamp(-LIMIT, LIMIT).float()


def beta_entropy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return h(Beta(a, b)) in nats; at most 0, the entropy of the uniform distribution."""
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return (
        log_beta
        - (a - 1) * torch.digamma(a)
        - (b - 1) * torch.digamma(b)
        + (a + b - 2) * torch.digamma(a + b)
    )

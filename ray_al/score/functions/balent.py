"""Balanced entropy: Woo, ICLR 2023 (openreview ZTMuZ68B1g)."""

import math

import torch

from ray_al.score.shannon import entropy_of_shares
from ray_al.score.views import Views

MIN_VARIANCE = 1e-9
"""As in the author's code: a class whose p never changes has no Beta distribution."""
MIN_BETA = 1e-3
"""h(Beta) falls like -1/beta; a class whose p is 1 in all passes has beta 0."""
MIN_JOINT = 1e-6
"""A joint entropy of 0 has no inverse."""
LIMIT = 10.0
"""Values are held within +-LIMIT: around a joint entropy of 0, and where all passes are sure, they run to thousands, and one such pixel
would decide the mean of its region. The paper scores whole images and needs no limit."""


def balanced_entropy(views: Views) -> torch.Tensor:
    """BalEntAcq = (H(p̄) + ln 2) / MJEnt where MJEnt >= 0, else its inverse; (N, H, W), below 0 where the joint entropy is, within +-`LIMIT`.

    MJEnt = sum_c p̄_c h(Beta(a_c + 1, b_c)) + H(p̄), h the differential entropy and Beta(a_c, b_c) matched to the mean and the variance
    of p_c over the passes. The variance is the population's: no sample then lies outside what a Beta distribution can have, where the
    author's code, with the sample variance, turns nan into a very low score.
    """
    mean, variance = views.mean_p.double(), views.var_p.double()
    spread = (mean * (1 - mean) / variance.clamp_min(MIN_VARIANCE) - 1).clamp_min(0)  # a + b
    joint = (mean * beta_entropy(mean * spread + 1, ((1 - mean) * spread).clamp_min(MIN_BETA))).sum(
        1
    )
    marginal = entropy_of_shares(mean)
    joint, marginal = joint + marginal, marginal + math.log(2)
    return (
        torch.where(joint >= 0, marginal / joint.clamp_min(MIN_JOINT), joint / marginal)
        .clamp(-LIMIT, LIMIT)
        .float()
    )


def beta_entropy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """h(Beta(a, b)) in nats, at most 0, which is the uniform distribution's."""
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return (
        log_beta
        - (a - 1) * torch.digamma(a)
        - (b - 1) * torch.digamma(b)
        + (a + b - 2) * torch.digamma(a + b)
    )

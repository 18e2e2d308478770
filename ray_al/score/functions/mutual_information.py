"""Mutual information between a pixel's class and what varies between passes, and its two parts.

BALD: Houlsby et al., 2011 (arXiv 1112.5745); over dropout masks: Gal et al., ICML 2017. QBC with the Kullback-Leibler divergence:
McCallum and Nigam, ICML 1998; (1/M) sum_m KL(p_m || p̄) equals BALD. Over transforms it is an extension of EquAL, from no paper.
"""

import torch

from ray_al.score.shannon import entropy_of_shares
from ray_al.score.views import Views


def mutual_information(views: Views) -> torch.Tensor:
    """H(p̄) - (1/M) sum_m H(p_m) in nats, (N, H, W), in [0, ln min(C, M)]; rounding below 0 is cut off."""
    return (entropy_of_shares(views.mean_p) - views.mean_entropy).clamp_min(0)


def soft_vote_entropy(views: Views) -> torch.Tensor:
    """H(p̄) in nats, (N, H, W), in [0, ln C]."""
    return entropy_of_shares(views.mean_p)


def expected_entropy(views: Views) -> torch.Tensor:
    """(1/M) sum_m H(p_m) in nats, (N, H, W), in [0, ln C]."""
    return views.mean_entropy

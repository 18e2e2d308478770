"""Disagreement of hard votes: Dagan and Engelson, ICML 1995 (vote entropy); Freeman, 1965 (variation ratio)."""

import torch

from ray_al.score.shannon import entropy_of_shares
from ray_al.score.views import Views


def vote_entropy(views: Views) -> torch.Tensor:
    """-sum_c v_c ln v_c in nats, v_c the share of passes that predict c; (N, H, W), in [0, ln min(C, M)]."""
    return entropy_of_shares(views.votes)


def variation_ratio(views: Views) -> torch.Tensor:
    """1 - max_c v_c, (N, H, W), in [0, 1 - 1/min(C, M)]."""
    return 1 - views.votes.amax(1)

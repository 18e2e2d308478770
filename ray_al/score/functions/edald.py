"""eDALD (Kim et al., NeurIPS 2025, arXiv 2510.22229): entropy of the plain prediction plus disagreement between noisy passes.

The public code of the paper adds the two without weights, over five passes.
"""

import torch

from ray_al.score.functions.mutual_information import mutual_information
from ray_al.score.shannon import entropy
from ray_al.score.views import Views


def entropy_and_disagreement(views: Views) -> torch.Tensor:
    """H(p of the plain pass) + mutual information over the passes, in nats, (N, H, W), in [0, 2 ln C]."""
    return entropy(views.plain) + mutual_information(views)

"""EquAL: Golestaneh and Kitani, BMVC 2020 (arXiv 2008.01860)."""

import torch

from ray_al.score.views import Views


def summed_entropy(views: Views) -> torch.Tensor:
    """sum_T T^-1[H(p(T x))] in nats, the identity among the transforms; (N, H, W). The paper's only transform is the mirror."""
    return views.sum_entropy

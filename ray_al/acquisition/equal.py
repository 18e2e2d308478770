"""Score pixels by EquAL: Golestaneh and Kitani, BMVC 2020 (arXiv 2008.01860)."""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import ViewsAcquisition
from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.families.acquisition import Inputs


class EquAL(ViewsAcquisition):
    """Sum of the entropies of the image and its transforms, each turned back.

    The only transform in the paper is the mirror image.
    """

    paper: ClassVar[str] = "EquAL: Golestaneh and Kitani, BMVC 2020"
    inputs: ClassVar[Inputs] = "transforms"
    wants: ClassVar[frozenset[str]] = frozenset({"mean_entropy"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return sum_T T^-1[H(p(T x))] in nats; the identity is among the transforms T."""
        return views.sum_entropy

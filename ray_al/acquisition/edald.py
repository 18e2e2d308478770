"""Score pixels by eDALD: entropy of the plain prediction plus disagreement of noisy passes.

Kim et al., NeurIPS 2025 (arXiv 2510.22229). The paper's public code adds the two without weights,
over five passes.
"""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import ViewsAcquisition
from ray_al.acquisition.mutual_information import mutual_information
from ray_al.acquisition.shannon import entropy
from ray_al.acquisition.views import PredictionStatistics


class EntropyAndDisagreement(ViewsAcquisition):
    """Entropy of the plain pass plus mutual information over the noisy passes."""

    paper: ClassVar[str] = "eDALD: Kim et al., NeurIPS 2025 (arXiv 2510.22229)"
    wants: ClassVar[frozenset[str]] = frozenset({"mean_p", "mean_entropy", "plain"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return `entropy_and_disagreement`."""
        return entropy_and_disagreement(views)


def entropy_and_disagreement(views: PredictionStatistics) -> torch.Tensor:
    """Return H(p of the plain pass) + mutual information in nats, (N, H, W), in [0, 2 ln C]."""
    return entropy(views.plain) + mutual_information(views)

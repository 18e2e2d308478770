"""Score pixels by the disagreement of hard votes: vote entropy and variation ratio."""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import ViewsAcquisition
from ray_al.acquisition.shannon import entropy_of_shares
from ray_al.acquisition.views import PredictionStatistics


class VoteEntropy(ViewsAcquisition):
    """Entropy of the votes for each class."""

    paper: ClassVar[str] = "Dagan and Engelson, ICML 1995"
    wants: ClassVar[frozenset[str]] = frozenset({"votes"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return -sum_c v_c ln v_c in nats, v_c the share of votes for c; in [0, ln min(C, M)]."""
        return entropy_of_shares(views.votes)


class VariationRatio(ViewsAcquisition):
    """Share of passes that do not vote for the most frequent class."""

    paper: ClassVar[str] = "Freeman, 1965; Gal et al., ICML 2017"
    wants: ClassVar[frozenset[str]] = frozenset({"votes"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return 1 - max_c v_c, v_c the share of votes for c; in [0, 1 - 1/min(C, M)]."""
        return 1 - views.votes.amax(1)

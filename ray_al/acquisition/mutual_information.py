"""Score pixels by mutual information between the class and the model, or by its two terms.

BALD: Houlsby et al., 2011 (arXiv 1112.5745); over dropout masks: Gal et al., ICML 2017. QBC with
the Kullback-Leibler divergence: McCallum and Nigam, ICML 1998; (1/M) sum_m KL(p_m || p̄) equals
BALD. The variant over transforms extends EquAL and comes from no paper.
"""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import ViewsAcquisition
from ray_al.acquisition.shannon import entropy_of_shares
from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.families.acquisition import Inputs


class Bald(ViewsAcquisition):
    """Mutual information over stochastic passes."""

    paper: ClassVar[str] = "Houlsby et al., 2011; Gal et al., ICML 2017"
    wants: ClassVar[frozenset[str]] = frozenset({"mean_p", "mean_entropy"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return `mutual_information`."""
        return mutual_information(views)


class QbcKullbackLeibler(Bald):
    """Mean divergence of the committee's members from their consensus; equals `Bald`."""

    paper: ClassVar[str] = "McCallum and Nigam, ICML 1998; equals bald"


class Disagreement(Bald):
    """Mutual information over transforms of the image."""

    paper: ClassVar[str] = "mutual information over transforms, an extension of EquAL"
    inputs: ClassVar[Inputs] = "transforms"


class SoftVoteEntropy(ViewsAcquisition):
    """Entropy of the mean prediction: the predictive, or total, entropy."""

    paper: ClassVar[str] = "entropy of the mean of passes: Gal et al., ICML 2017"
    wants: ClassVar[frozenset[str]] = frozenset({"mean_p"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return `soft_vote_entropy`."""
        return soft_vote_entropy(views)


class ExpectedEntropy(ViewsAcquisition):
    """Mean of the entropies of the passes: the aleatoric part of the entropy."""

    paper: ClassVar[str] = "mean entropy of passes"
    wants: ClassVar[frozenset[str]] = frozenset({"mean_entropy"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return (1/M) sum_m H(p_m) in nats, in [0, ln C]."""
        return views.mean_entropy


def mutual_information(views: PredictionStatistics) -> torch.Tensor:
    """Return H(p̄) - (1/M) sum_m H(p_m) in nats, (N, H, W), in [0, ln min(C, M)].

    Values that rounding leaves below 0 become 0.
    """
    return (entropy_of_shares(views.mean_p) - views.mean_entropy).clamp_min(0)


def soft_vote_entropy(views: PredictionStatistics) -> torch.Tensor:
    """Return H(p̄) in nats, (N, H, W), in [0, ln C]."""
    return entropy_of_shares(views.mean_p)

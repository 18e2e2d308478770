"""Score pixels by how often dropout changes their class: the first step of DropQuery.

Gupte et al., TMLR 2024 (arXiv 2401.14555) make a whole image a candidate if more than half of the
draws predict another class than its unchanged features. Here the score of a pixel is that share of
draws, and the score of a region is the mean over its pixels: above 0.5, more than half of all
predictions in the region change. Since most regions hold some pixels that change,
`strategy.batch.factor` sets how many regions are candidates. Not confirmed: 3 draws, from memory of
the paper.
"""

from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import ViewsAcquisition
from ray_al.acquisition.views import PredictionStatistics


class DropQuery(ViewsAcquisition):
    """Share of passes whose class differs from that of the plain pass."""

    paper: ClassVar[str] = "DropQuery: Gupte et al., TMLR 2024 (arXiv 2401.14555)"
    wants: ClassVar[frozenset[str]] = frozenset({"votes", "plain"})

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Return that share, in [0, 1]; among equal logits the lowest class counts."""
        same = views.votes.gather(1, views.plain.argmax(1, keepdim=True))
        return 1 - same[:, 0]

"""How often a prediction changes under dropout of the features: the first step of DropQuery (Gupte et al., TMLR 2024, arXiv 2401.14555).

There a whole image is a candidate where more than half of the draws predict another class than its features as they are. A pixel's score
is that share of draws, and a region's the mean over its pixels: above 0.5, more than half of all predictions in it change. How many
regions count as candidates, `strategy.batch.factor` says, as most regions hold some pixels that change.
"""

import torch

from ray_al.score.views import Views


def dropquery(views: Views) -> torch.Tensor:
    """The share of passes whose class is another than the plain pass's, (N, H, W), in [0, 1]; of equal logits the lowest class counts."""
    same = views.votes.gather(1, views.plain.argmax(1, keepdim=True))
    return 1 - same[:, 0]

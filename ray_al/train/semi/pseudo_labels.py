"""Confident pseudo-labels, with a threshold for each class.

If the network is confident of its prediction for a pixel of the unchanged image, the prediction
becomes the label of that pixel in another view (Sohn et al., "FixMatch: Simplifying Semi-Supervised
Learning with Consistency and Confidence", NeurIPS 2020).

Confidence is judged for each class separately, so a class of which the network is never sure is
learnt too: of the pixels that are predicted as a class, the same fraction is used for every class,
the most confident ones. This is class-balanced self-training (CBST; Zou et al., "Unsupervised
Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training", ECCV 2018), except
that CBST takes thresholds over a whole data set in rounds; here they are taken over a batch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ray_al.core.types import IGNORE_INDEX
from ray_al.core.variants import Semi

if TYPE_CHECKING:
    import torch

BINS = 256
"""Number of bins of confidence. With bins, workers find common thresholds by adding up counts."""


class PseudoLabels(Semi):
    """FixMatch on cached views, with CBST's thresholds."""

    kind: Literal["pseudo_labels"] = "pseudo_labels"
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Part of the pixels predicted as each class, the surest ones, that is believed; pixels of the
    highest confidence always are.
    """
    start: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Part of the steps that is trained before pseudo-labels are used, since an untrained network
    knows nothing.
    """

    def is_active(self, done: float) -> bool:
        """As `Semi.is_active`."""
        return done >= self.start

    def label(
        self, probabilities: "torch.Tensor", add: "Callable[[torch.Tensor], torch.Tensor]"
    ) -> "torch.Tensor":
        """As `Semi.label`."""
        import torch  # settings alone do not need it

        confidence, classes = probabilities.max(1)
        num_classes = probabilities.shape[1]
        bins = (confidence * BINS).long().clamp(max=BINS - 1)
        counts = torch.bincount(classes * BINS + bins, minlength=num_classes * BINS)
        table = add(counts).view(num_classes, BINS)
        above = table.flip(1).cumsum(1).flip(1)  # pixels of a class that are at least so confident
        believed = above <= self.share * above[:, :1]
        lowest = torch.where(believed.any(1), believed.long().argmax(1), BINS - 1)
        return torch.where(bins >= lowest[classes], classes, IGNORE_INDEX)

"""Confident pseudo-labels, with a threshold for each class.

The network's own prediction for the image as it is becomes the label of the same pixel in another view, where it is
confident: Sohn and others, "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS
2020. What is confident is settled for each class alone, so that a class which the network is never sure of is learnt
too: the same share of the pixels that are predicted as each class is believed, the surest ones, as in "class-balanced
self-training" (CBST): Zou and others, "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
Self-Training", ECCV 2018. CBST takes its thresholds over a whole data set in rounds; here they are those of a batch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ray_al.core.types import IGNORE_INDEX
from ray_al.core.variants import Semi

if TYPE_CHECKING:
    import torch

BINS = 256
"""Steps of confidence in which thresholds are found, so that workers need only add up counts."""


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

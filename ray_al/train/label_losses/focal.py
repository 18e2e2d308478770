"""Focal loss, which lowers the weight of pixels that are predicted well already."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.types import IGNORE_INDEX
from ray_al.train.label_losses.cross_entropy import PixelLoss

if TYPE_CHECKING:
    import torch


class FocalLoss(PixelLoss):
    """The mean of -(1 - p)^gamma ln p of the right class.

    It is the form for several classes with a softmax; the paper has a sigmoid for two. If a label
    is a set of classes, p is the sum over the set.
    """

    kind: Literal["focal"] = "focal"
    gamma: Annotated[float, Field(ge=1, le=10)] = 2.0
    """Exponent: the larger it is, the less do well-predicted pixels count."""
    paper: ClassVar[str] = "Lin et al., ICCV 2017"
    takes_sets: ClassVar[bool] = True

    def sums(
        self, logits: "torch.Tensor", target: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """As `Loss.sums`."""
        import torch  # settings alone do not need it
        import torch.nn.functional as F

        losses = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
        losses = self._focus(losses)
        labelled = target != IGNORE_INDEX
        if class_weights is not None:
            losses = losses * class_weights[target.where(labelled, 0)]
        return torch.stack([losses.sum(), labelled.sum().to(losses.dtype)])

    def set_sums(
        self, logits: "torch.Tensor", bits: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """As `Loss.set_sums`."""
        import torch  # settings alone do not need it

        from ray_al.train.partial import partial_cross_entropy, weigh_sets

        losses, members = partial_cross_entropy(logits, bits)
        losses = weigh_sets(self._focus(losses), members, class_weights)
        return torch.stack([losses.sum(), losses.new_tensor(float(len(losses)))])

    def of_guess(self, num_classes: int) -> float:
        """As `Loss.of_guess`."""
        return float((1 - 1 / num_classes) ** self.gamma * math.log(num_classes))

    def _focus(self, losses: "torch.Tensor") -> "torch.Tensor":
        """Turn cross entropies -ln p, any shape, into focal losses."""
        return (1 - (-losses).exp()) ** self.gamma * losses

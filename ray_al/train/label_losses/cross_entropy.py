"""Cross entropy, a mean over the labelled pixels."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.families.losses import Loss

if TYPE_CHECKING:
    import torch


class PixelLoss(Loss):
    """A mean over the labelled pixels; its sums are the sum of losses and the number of pixels."""

    def value(self, sums: "torch.Tensor", class_weights: "torch.Tensor | None") -> "torch.Tensor":
        """As `Loss.value`: the mean."""
        return sums[0] / sums[1].clamp_min(1)


class CrossEntropyLoss(PixelLoss):
    """The mean of -ln p of the right class.

    If a label is a set of classes, p is the sum over the set (`train/partial.py`).
    """

    kind: Literal["cross_entropy"] = "cross_entropy"
    takes_sets: ClassVar[bool] = True

    def sums(
        self, logits: "torch.Tensor", target: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """As `Loss.sums`."""
        import torch  # settings alone do not need it

        from ray_al.train.losses import cross_entropy_sum

        return torch.stack(cross_entropy_sum(logits, target, class_weights))

    def set_sums(
        self, logits: "torch.Tensor", bits: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """As `Loss.set_sums`."""
        import torch  # settings alone do not need it

        from ray_al.train.partial import partial_cross_entropy_sum

        return torch.stack(partial_cross_entropy_sum(logits, bits, class_weights))

    def of_guess(self, num_classes: int) -> float:
        """As `Loss.of_guess`: ln C."""
        return math.log(num_classes)

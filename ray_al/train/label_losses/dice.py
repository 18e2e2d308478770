"""Dice loss, which compares areas, so that small classes count as much as large ones."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.families.losses import Loss
from ray_al.core.section import Weight
from ray_al.core.types import IGNORE_INDEX

if TYPE_CHECKING:
    import torch


class DiceLoss(Loss):
    """The mean of 1 - 2 |P and T| / (|P| + |T|) over the classes that occur among the labels.

    P are the predicted probabilities and T the labels of a class; only labelled pixels of the whole
    batch, over all workers, are counted. Class weights weigh the classes in the mean.
    """

    kind: Literal["dice"] = "dice"
    cross_entropy: Weight = 0.0
    """Weight of the cross entropy that is added; 1 gives the loss of nnU-Net, which learns faster
    from few labels.
    """
    paper: ClassVar[str] = "Milletari et al., 3DV 2016"

    def sums(
        self, logits: "torch.Tensor", target: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """As `Loss.sums`: |P and T|, |P| and |T| of each class, then those of the cross entropy."""
        import torch  # settings alone do not need it
        import torch.nn.functional as F

        from ray_al.train.losses import cross_entropy_sum

        labelled = target != IGNORE_INDEX
        predicted = logits.movedim(1, -1)[labelled].softmax(1)
        truth = F.one_hot(target[labelled], logits.shape[1]).to(predicted.dtype)
        areas = [(predicted * truth).sum(0), predicted.sum(0), truth.sum(0)]
        return torch.cat([*areas, torch.stack(cross_entropy_sum(logits, target, class_weights))])

    def value(self, sums: "torch.Tensor", class_weights: "torch.Tensor | None") -> "torch.Tensor":
        """As `Loss.value`."""
        import torch  # settings alone do not need it

        both, predicted, truth = sums[:-2].view(3, -1)
        occurs = truth > 0
        weights = torch.ones_like(truth) if class_weights is None else class_weights
        losses = 1 - 2 * both[occurs] / (predicted + truth)[occurs]
        total = weights[occurs].sum()
        total = total.where(total > 0, torch.ones_like(total))  # all that occur may weigh nothing
        dice = (losses * weights[occurs]).sum() / total
        value: torch.Tensor = dice + self.cross_entropy * (sums[-2] / sums[-1].clamp_min(1))
        return value

    def of_guess(self, num_classes: int) -> float:
        """As `Loss.of_guess`; all classes are taken to have equally many pixels."""
        return 1 - 1 / num_classes + self.cross_entropy * math.log(num_classes)

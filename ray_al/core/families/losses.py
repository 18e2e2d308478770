"""Losses of labelled pixels."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ray_al.core.errors import ConfigError
from ray_al.core.family import Family
from ray_al.core.section import Section

if TYPE_CHECKING:
    import torch

    from ray_al.core.config import RunConfig


class Loss(Section):
    """A loss of labelled pixels, made of sums that can be added up.

    A batch is spread over workers, and `mirror_loss` adds that of the mirrored images. The sums of
    all parts are added first, and the loss follows from them. So it does not depend on the number
    of workers even where it is no mean over pixels, as with Dice.
    """

    kind: str
    """Which loss it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Source of the loss."""
    takes_sets: ClassVar[bool] = False
    """Whether a pixel's label may be a set of classes; `set_sums` is defined then."""

    def check(self, config: "RunConfig", key: str) -> None:
        """Refuse labels that this loss cannot be computed from.

        Args:
            config: configuration of the run.
            key: the setting that names the loss, for the message.

        Raises:
            ConfigError: with key, value and remedy.
        """
        if config.label.is_partial and not self.takes_sets:
            raise ConfigError(
                f"{key}: {self.kind!r} needs one class per pixel, but with "
                f"label.kind={config.label.kind} a label is a set of classes of which a pixel may "
                "have any; set it to cross_entropy or focal, or label.kind to dense"
            )

    @abstractmethod
    def sums(
        self, logits: "torch.Tensor", target: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Return sums over the labelled pixels; those of several batches are added up.

        They are zero, with a gradient of zero, if no pixel is labelled.

        Args:
            logits: float32 (N, C, H, W).
            target: int64 class ids (N, H, W), 255 where there is no label.
            class_weights: float32 (C,), or None.

        Returns:
            float32, one axis.
        """
        raise NotImplementedError

    def set_sums(
        self, logits: "torch.Tensor", bits: "torch.Tensor", class_weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """As `sums`, for labels that are sets of classes.

        Args:
            logits: float32 (N, C, H, W).
            bits: int64 (N, H, W): bit c is set if the pixel may have class c; 0 for no label.
            class_weights: float32 (C,), or None.
        """
        raise NotImplementedError

    @abstractmethod
    def value(self, sums: "torch.Tensor", class_weights: "torch.Tensor | None") -> "torch.Tensor":
        """Return the loss, a scalar, that follows from the sums of the whole batch.

        It is 0 if no pixel is labelled. Multiplying all sums by one factor does not change it.
        """
        raise NotImplementedError

    @abstractmethod
    def of_guess(self, num_classes: int) -> float:
        """Return the loss of a uniform guess, with which `train.steps: auto` compares the loss."""
        raise NotImplementedError


LOSSES = Family(
    "train.loss",
    Loss,
    {
        "cross_entropy": "ray_al.train.label_losses.cross_entropy:CrossEntropyLoss",
        "focal": "ray_al.train.label_losses.focal:FocalLoss",
        "dice": "ray_al.train.label_losses.dice:DiceLoss",
    },
    takes_word=True,
)

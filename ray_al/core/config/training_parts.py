"""Parts of the section `train`: augmentation, batch normalization, class weights, `steps: auto`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ray_al.core.config.values import form_of
from ray_al.core.section import Count, Number, Section, Weight

_Scale = Annotated[float, Field(ge=0.01, le=100)]


class AugmentConfig(Section):
    """Settings of the augmentation of training images."""

    mirror: bool = True
    """Whether images are mirrored at random."""
    scale: tuple[_Scale, _Scale] | None = None
    """Range of a random scale, after which the image is cropped or padded back to `image_size`."""

    @model_validator(mode="after")
    def _low_to_high(self) -> "AugmentConfig":
        if self.scale is not None and self.scale[0] > self.scale[1]:
            raise ValueError(
                f"scale={list(self.scale)} has its lower end above its upper end; swap them"
            )
        return self


class BatchNormConfig(Section):
    """Running statistics of batch normalization.

    Statistics that lag behind the weights spoil short cycles: raise `momentum`, or set
    `reestimate_batches`.
    """

    momentum: Annotated[float, Field(gt=0, le=1)] | None = 0.1
    """Weight of each new batch in the running statistics; null averages over all batches alike."""
    reestimate_batches: Number = 0
    """Number of batches from which the statistics are computed anew after training; 0 keeps them.
    """
    sync: bool = False
    """Whether GPU workers share the statistics of each batch."""


class BalancedWeights(Section):
    """Class weights that favour rare classes.

    The loss of a labelled pixel is multiplied by (share of its class + 0.001) ** -`balanced`.
    """

    balanced: Annotated[float, Field(gt=0, le=2)] = 0.5
    """Exponent of the weighting: 0.5 is moderate, and larger values favour rare classes more."""


def _balanced(value: object) -> object:
    """Replace the word `balanced` by the keys of its rule."""
    if isinstance(value, str) and value != "balanced":
        raise ValueError(
            "give balanced, {balanced: 0.5} with another exponent, "
            "or a list with a number for each class"
        )
    return {} if value == "balanced" else value


_WeightOfEach = Annotated[tuple[Weight, ...], Field(min_length=1)]
ClassWeights = Annotated[
    Annotated[BalancedWeights, Tag("(rule)")] | Annotated[_WeightOfEach, Tag("(plain)")],
    Discriminator(form_of),
    BeforeValidator(
        _balanced, json_schema_input_type=BalancedWeights | _WeightOfEach | Literal["balanced"]
    ),
]
"""A weight for each class, or `balanced` (or the keys of `BalancedWeights`)."""


class AutoSteps(Section):
    """A number of steps that follows from the labels.

    The learning rate stays high until the labels are learnt; then it falls as `schedule` says.
    """

    max: Count = 1000
    """The largest number of steps."""
    learnt: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Labels count as learnt once the mean loss on labelled pixels falls to this part of a guess's
    loss, which is the logarithm of the number of classes.
    """
    window: Count = 50
    """Number of steps over which the loss is averaged; no training is shorter."""
    decay: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Number of steps with a falling rate, as a multiple of the steps before them."""

    @model_validator(mode="after")
    def _window_fits(self) -> "AutoSteps":
        if self.window * (1 + self.decay) > self.max:
            raise ValueError(
                f"window={self.window} steps and their decay={self.decay:g} are more than "
                f"max={self.max}; raise max or lower window"
            )
        return self


def _auto(value: object) -> object:
    """Replace the word `auto` by the keys of its rule."""
    if isinstance(value, str) and value != "auto" and not value.replace("_", "").isdecimal():
        raise ValueError(
            "give a number of steps, auto, or the keys of its rule such as {max: 1000}"
        )
    return {} if value == "auto" else value


_NumSteps = Annotated[int, Field(ge=1, le=10**9)]
Steps = Annotated[
    Annotated[AutoSteps, Tag("(rule)")] | Annotated[_NumSteps, Tag("(plain)")],
    Discriminator(form_of),
    BeforeValidator(_auto, json_schema_input_type=AutoSteps | _NumSteps | Literal["auto"]),
]
"""A number of steps, or `auto` (or the keys of `AutoSteps`): as many as the labels need."""

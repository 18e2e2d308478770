"""The section `train`: how the models that choose are trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ray_al.core.config.training_parts import (
    AugmentConfig,
    BatchNormConfig,
    ClassWeights,
    Steps,
)
from ray_al.core.config.values import BatchSize, Epochs, Schedule
from ray_al.core.families.losses import LOSSES, Loss
from ray_al.core.section import Count, Gpus, Number, Positive, Section, Weight
from ray_al.core.variants import SEMI, Semi

NumWorkers = Annotated[int, Field(ge=0, le=10_000)]
_ElasticWorkers = Annotated[int, Field(ge=1, le=10_000)]


class TrainConfig(Section):
    """Settings of training, for the models that choose.

    `final` changes some of them for the models that are measured.
    """

    policy: Literal["reset", "finetune", "continue"] = "reset"
    """How a cycle begins: `reset` starts from the initial weights, `finetune` from the last cycle's
    weights, and `continue` also keeps the optimizer's state.
    """
    steps: Steps | None = None
    """Number of optimizer steps in a cycle, or `auto` for as many as the labels need; set either
    this or `epochs`.
    """
    epochs: Epochs | None = None
    """Number of passes over the labelled images in a cycle; set either this or `steps`."""
    extra_epochs: Epochs | None = None
    """Number of epochs of the cycles that `extra_every` selects."""
    extra_every: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each time this share of the budget has been spent, one cycle trains for `extra_epochs`."""
    batch_size: BatchSize = 8
    """Number of images in a batch, over all workers."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """The optimizer."""
    learning_rate: Positive = 1e-3
    """The full learning rate, before `schedule` lowers it."""
    warm_learning_rate: Positive | None = None
    """Learning rate of cycles that start from the last cycle's weights (`policy: finetune` or
    `continue`); null takes `learning_rate`.
    """
    weight_decay: Weight = 2e-4
    """Weight decay of the optimizer."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD; the other optimizers do not use it."""
    schedule: Schedule = "poly"
    """How the learning rate falls over a cycle; `step` divides it by ten every `schedule_step`
    epochs.
    """
    schedule_step: Count = 20
    """Number of epochs after which `schedule: step` divides the learning rate by ten."""
    loss: Annotated[Loss, LOSSES] = Field(
        default_factory=lambda: LOSSES.parse("cross_entropy"), validate_default=False
    )
    """The loss of labelled pixels: cross_entropy, focal, dice, or a class of your own."""
    mirror_loss: bool = False
    """Whether the loss also includes that of the mirrored image's prediction, mirrored back, as in
    EquAL.
    """
    consistency: Weight = 0.0
    """Weight of EquAL's self-consistency loss over all pixels, labelled or not."""
    prototype: Weight = 0.125
    """Weight of the prototypical pixel loss (MulActSeg); used only with `label.kind: classes`, in
    which a label is a set of classes.
    """
    class_weights: ClassWeights | None = None
    """A weight for each class, or `balanced` to compute the weights from the labelled pixels of
    each cycle.
    """
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps over which the learning rate rises to its full value; `schedule` governs
    the rest.
    """
    clip_gradients: Positive | None = None
    """Largest norm of the gradients over all weights; larger gradients are scaled down to it."""
    pixels_per_step: Count | None = None
    """Largest number of labelled pixels that are drawn from a batch for the loss, which saves most
    of a small head's step; null takes all.
    """
    keep: Literal["last", "best"] = "last"
    """Which weights a training keeps: the last ones, or the `best` by mIoU on the validation images
    of those that were evaluated on the way.
    """
    evaluate_every: Count | None = None
    """Number of steps between two evaluations with `keep: best`; null takes a tenth of the steps.
    The last weights are evaluated as well.
    """
    semi: Annotated[Semi, SEMI] | None = None
    """How the network also learns from unlabelled pixels, which needs a frozen backbone; null does
    not.
    """
    mirror_test: bool = False
    """Whether evaluation averages the softmax of the image with that of its mirror image, mirrored
    back.
    """
    batch_norm: BatchNormConfig = BatchNormConfig()
    """Settings of the running statistics of batch normalization."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes to the images that are trained on."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of training: 32-bit floats or bfloat16."""
    workers: NumWorkers | tuple[_ElasticWorkers, _ElasticWorkers] = 0
    """Number of Ray Train workers, or [least, most] for an elastic group; 0 trains in the driver's
    process.
    """
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Number of CPU threads of each worker."""
    gpus_per_worker: Gpus = 0.0
    """Number of GPUs of each worker: a share up to 1, or a whole number. Several workers take more
    than 0.5 each, so that no two of a group share one GPU.
    """
    backend: Literal["gloo", "nccl"] = "gloo"
    """Library by which workers communicate: gloo for CPUs, nccl for GPUs."""
    keep_workers: bool = True
    """Whether the workers stay alive between cycles."""
    max_failures: Number = 3
    """How often the training of a cycle is restarted after the loss of a worker."""
    checkpoint_interval_s: Weight = 60.0
    """Seconds between two checkpoints inside a cycle."""

    @model_validator(mode="after")
    def _settings_agree(self) -> "TrainConfig":
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"steps={self.steps} and epochs={self.epochs} are both set; keep one")
        most = self.workers if isinstance(self.workers, int) else self.workers[1]
        if most > 1 and 0 < self.gpus_per_worker <= 0.5:
            raise ValueError(
                f"gpus_per_worker={self.gpus_per_worker} would let two trainers share one GPU; "
                "give 0.6 (and 0.4 to scorers) or a whole one"
            )
        if self.warm_learning_rate is not None and self.policy == "reset":
            raise ValueError(
                f"warm_learning_rate={self.warm_learning_rate} has no effect with policy=reset; "
                "set policy to finetune or continue, or leave it out"
            )
        if self.keep == "best" and self.policy == "continue":
            raise ValueError(
                "keep=best keeps weights from before the end, but policy=continue goes on with the "
                "optimizer's state at the end; set policy to finetune or reset, or keep to last"
            )
        if (self.extra_epochs is None) != (self.extra_every is None):
            raise ValueError("extra_epochs and extra_every go together; set both or neither")
        if isinstance(self.class_weights, tuple) and not any(self.class_weights):
            raise ValueError(
                "class_weights are all 0, and nothing would be learnt; "
                "give at least one class a weight"
            )
        return self

"""The number of steps of a training, fixed or found from its loss, and the learning rates."""

import math
from collections.abc import Sequence

from ray_al.core.config import AutoSteps, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.core.types import TrainPlan

POLY_POWER = 0.9
"""Exponent of the schedule `poly`, as in DeepLab (Chen et al., TPAMI 2018)."""
STEP_FACTOR = 0.1
"""Factor of the schedule `step` after every `train.schedule_step` epochs."""


def num_steps(
    plan: TrainPlan, train: TrainConfig, num_images: int, batch_size: int
) -> int | AutoSteps:
    """Return the number of steps of a plan, or the rule that finds it.

    Args:
        plan: plan of the training; its own steps or extra epochs come first.
        train: training settings with the recipe of the plan applied.
        num_images: number of labelled images, which gives the length of an epoch.
        batch_size: number of images per step.

    Raises:
        ConfigError: neither steps nor epochs is set.
    """
    if plan.steps is not None:
        return plan.steps
    epoch = math.ceil(num_images / batch_size)
    if plan.extra_epochs is not None:
        return plan.extra_epochs * epoch
    if train.steps is not None:
        return train.steps
    if train.epochs is not None:
        return train.epochs * epoch
    raise ConfigError("train: neither steps nor epochs is set; set one")


def least_span(steps: int | AutoSteps) -> int:
    """Return the smallest number of steps over which snapshots are taken."""
    length = Length(steps, guess=1.0)
    if length.rule is not None:
        length.settle(length.rule.window)
    return length.snapshot_span


class Length:
    """The number of steps of a training, which may become known only during it.

    A network memorises few labels soon, and training on makes it worse; many labels keep teaching
    it. The loss on the labelled pixels shows the difference, in the same way for every strategy and
    without the validation set. It is compared with the loss of a uniform guess. Class weights do
    not change that, as their mean over the labelled pixels is 1.

    Args:
        steps: the number of steps, or the rule that finds it.
        guess: loss of a uniform guess (`Loss.of_guess`).
    """

    def __init__(self, steps: int | AutoSteps, guess: float) -> None:
        self.rule = steps if isinstance(steps, AutoSteps) else None
        self.total = steps if isinstance(steps, int) else steps.max
        self.settled: int | None = None
        """Step at which the learning rate begins to fall; None as long as it is unknown."""
        self.guess = guess

    def look(self, losses: Sequence[float]) -> None:
        """Settle the length if the loss is low enough, or if the limit of steps comes near.

        Args:
            losses: mean loss on the labelled pixels of every step so far.
        """
        rule = self.rule
        if rule is None or self.settled is not None or len(losses) < rule.window:
            return
        mean = math.fsum(losses[-rule.window :]) / rule.window
        if mean <= rule.learnt * self.guess or len(losses) >= int(rule.max / (1 + rule.decay)):
            self.settle(len(losses))

    def settle(self, step: int) -> None:
        """Let the learning rate fall from `step` on, which settles the number of steps."""
        assert self.rule is not None
        self.settled, self.total = step, step + max(1, int(step * self.rule.decay))

    def done(self, step: int) -> float:
        """Return the fraction of steps before `step`; 0 as long as their number is unknown."""
        return 0.0 if self.rule is not None and self.settled is None else step / self.total

    @property
    def asked(self) -> int | str:
        """The requested length, as a value that is equal for equal requests."""
        return self.total if self.rule is None else self.rule.model_dump_json()

    @property
    def snapshot_span(self) -> int:
        """Number of last steps over which snapshots are taken.

        It is half of a fixed number of steps, or the steps with a falling rate; 0 as long as these
        are unknown.
        """
        if self.rule is None:
            return self.total // 2
        return 0 if self.settled is None else self.total - self.settled


def rate_factor(
    train: TrainConfig, length: Length, step: int, num_images: int, batch_size: int
) -> float:
    """Return the factor of the learning rate at `step`: a linear rise to 1, then the schedule.

    If the length is found from the loss, the rise is a fraction of its `window`, and the schedule
    begins when the loss has settled.

    This is a pure function of the step, unlike the schedulers of `torch.optim.lr_scheduler`. Those
    multiply the last rate by a ratio at each step, so their rates differ in the last bits from the
    formulas below; their number of steps is fixed beforehand, and their state would have to be
    stored to resume.

    Args:
        train: training settings.
        length: number of steps.
        step: number of the step, from 0.
        num_images: number of labelled images, which gives the length of an epoch.
        batch_size: number of images per step.
    """
    rise, total = int(train.warmup * length.total), length.total
    if length.rule is not None:
        rise = int(train.warmup * length.rule.window)
    if step < rise:
        return (step + 1) / rise
    if train.schedule == "step":
        epoch = step // math.ceil(num_images / batch_size)
        return float(STEP_FACTOR ** (epoch // train.schedule_step))
    start = rise if length.rule is None else length.settled
    if start is None or train.schedule == "constant":
        return 1.0
    done = (step - start) / (total - start)
    if train.schedule == "poly":
        return float((1 - done) ** POLY_POWER)
    return 0.5 * (1 + math.cos(math.pi * done))

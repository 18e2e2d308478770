"""How many steps a training has: a number, or as many as its loss on the labelled pixels asks for."""

import math
from collections.abc import Sequence

from ray_al.core.config import AutoSteps, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.core.types import TrainPlan


def num_steps(
    plan: TrainPlan, train: TrainConfig, num_images: int, batch_size: int
) -> int | AutoSteps:
    """Steps of a plan: its own, its extra epochs, else those of its recipe, which `train` follows."""
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
    """The steps through which snapshots are taken (`Length.snapshot_span`), at least."""
    length = Length(steps, num_classes=2)
    if length.rule is not None:
        length.settle(length.rule.window)
    return length.snapshot_span


class Length:
    """The steps of one training, of which the last may be known only on the way.

    Few labels are soon learnt by heart, and what comes after that spoils the network; many labels
    go on teaching it. The loss on the labelled pixels tells, for every strategy alike and without a
    look at the validation set. It is compared with a guess's: class weights whose mean over the
    labelled pixels is 1 leave that at the logarithm of the number of classes.

    Args:
        steps: their number, or the rule.
        num_classes: of the data set.
    """

    def __init__(self, steps: int | AutoSteps, num_classes: int) -> None:
        self.rule = steps if isinstance(steps, AutoSteps) else None
        self.total = steps if isinstance(steps, int) else steps.max
        self.settled: int | None = None
        """The step at which the rate begins to fall; None as long as it is not known."""
        self.guess = math.log(num_classes)

    def look(self, losses: Sequence[float]) -> None:
        """Told after each step the mean losses on the labelled pixels of all steps so far."""
        rule = self.rule
        if rule is None or self.settled is not None or len(losses) < rule.window:
            return
        mean = math.fsum(losses[-rule.window :]) / rule.window
        if mean <= rule.learnt * self.guess or len(losses) >= int(rule.max / (1 + rule.decay)):
            self.settle(len(losses))

    def settle(self, step: int) -> None:
        """Have the rate fall from `step` on."""
        assert self.rule is not None
        self.settled, self.total = step, step + max(1, int(step * self.rule.decay))

    def done(self, step: int) -> float:
        """The part of the steps that lies before `step`; 0 as long as their number is not known."""
        return 0.0 if self.rule is not None and self.settled is None else step / self.total

    @property
    def asked(self) -> int | str:
        """What was asked for: equal for equal lengths."""
        return self.total if self.rule is None else self.rule.model_dump_json()

    @property
    def snapshot_span(self) -> int:
        """The last steps, through which snapshots are taken: half of them, or those with a falling rate; 0 as long as they are not known."""
        if self.rule is None:
            return self.total // 2
        return 0 if self.settled is None else self.total - self.settled


def rate_factor(
    train: TrainConfig, length: Length, step: int, num_images: int, batch_size: int
) -> float:
    """What the learning rate is multiplied by at `step`: a linear rise to 1, then the schedule over the steps that are left.

    Of a length that follows the labels the rise is a share of its `window`, and the schedule begins
    where the loss has settled.
    """
    rise, total = int(train.warmup * length.total), length.total
    if length.rule is not None:
        rise = int(train.warmup * length.rule.window)
    if step < rise:
        return (step + 1) / rise
    if train.schedule == "step":
        epoch = step // math.ceil(num_images / batch_size)
        return float(0.1 ** (epoch // train.schedule_step))
    start = rise if length.rule is None else length.settled
    if start is None or train.schedule == "constant":
        return 1.0
    done = (step - start) / (total - start)
    return (1 - done) ** 0.9 if train.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * done))

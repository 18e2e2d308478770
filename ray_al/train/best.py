"""The best weights of a training, by mIoU on the validation images (`train.keep: best`)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from ray_al.core.config import TrainConfig
from ray_al.models.state import load_trained, trained_state
from ray_al.train.length import Length

Evaluate = Callable[[nn.Module], float]
"""Returns the validation mIoU of a network in evaluation mode; all workers call it together."""
EVALUATIONS = 10
"""Number of evaluations of a training, unless `train.evaluate_every` is set."""


@dataclass(kw_only=True)
class Best:
    """What is known of a training's best weights; a partial checkpoint stores it.

    Attributes:
        step: number of steps after which they were reached.
        weights: `trained_state` of the network, on the CPU.
        evaluations: number of steps and mIoU of each evaluation.
    """

    step: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    evaluations: list[tuple[int, float]] = field(default_factory=list)


class BestKeeper:
    """Evaluates a training on the way, and keeps the best weights.

    All workers have the same weights and get the same mIoU, so each keeps the same ones. Of equally
    good ones, the first are kept.

    Args:
        evaluate: measures the network.
        settle: makes the running statistics those of a finished training.
        train: settings of the training.
        length: number of steps.
    """

    def __init__(
        self, evaluate: Evaluate, settle: Callable[[], None], train: TrainConfig, length: Length
    ) -> None:
        self.evaluate = evaluate
        self.settle = settle
        steps = length.total if length.rule is None else length.rule.max
        self.interval = train.evaluate_every or max(1, steps // EVALUATIONS)
        self.best = Best()

    def look(self, model: nn.Module, step: int) -> None:
        """Evaluate after `step` steps, if it is time to; the training goes on unchanged."""
        if step % self.interval:
            return
        state = trained_state(model)
        before = {name: tensor.clone() for name, tensor in state.items()}
        self.settle()
        self._evaluate(model, step)
        load_trained(model, before)
        model.train()

    def finish(self, model: nn.Module, step: int) -> None:
        """Evaluate the settled network of the end, and load the best weights into it."""
        self._evaluate(model, step)
        load_trained(model, self.best.weights)

    def _evaluate(self, model: nn.Module, step: int) -> None:
        model.eval()
        miou, best = self.evaluate(model), self.best
        if not best.evaluations or miou > max(known for _, known in best.evaluations):
            best.step = step
            best.weights = {
                name: tensor.detach().cpu().clone() for name, tensor in trained_state(model).items()
            }
        best.evaluations.append((step, miou))

"""The section `final`: the models that are measured."""

import itertools
from typing import Any

from pydantic import Field, model_validator

from ray_al.core.config.training_parts import Steps
from ray_al.core.config.values import Amount, BatchSize, Epochs, Schedule, Side
from ray_al.core.section import Count, Positive, Section
from ray_al.core.types import Recipe

GROUP_KEYS = (
    "workers",
    "threads",
    "gpus_per_worker",
    "backend",
    "keep_workers",
    "max_failures",
    "checkpoint_interval_s",
)
"""Keys of `train` that hold for the training processes, whichever model they train."""
CYCLE_KEYS = ("policy", "warm_learning_rate", "extra_epochs", "extra_every")
"""Keys of `train` that say how a cycle follows the previous one; measured models start afresh."""
FINAL_KEYS = ("steps", "epochs", "batch_size", "learning_rate", "schedule")
"""Keys of `train` that `final` has itself."""
DEFAULT_REPEATS = 3
"""Models that are trained at each of `final.budgets` unless `final.repeats` is set."""


class FinalConfig(Section):
    """The models that are measured.

    They are those of `ray-al final` and `ray-al upper-bound`, and further models of a run at the
    named budgets.
    """

    budgets: tuple[Amount, ...] = ()
    """Budgets, in ascending order and at most `budget.amount`, at which a run also trains fresh
    models on the labels so far.
    """
    repeats: Count | None = None
    """Number of models that are trained at each budget, to report mean and spread; null means 3 if
    `budgets` are named, else 1.
    """
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of `train` that differ from those of the models that choose."""
    steps: Steps | None = None
    """As `train.steps`, for the measured models; null takes the run's length."""
    epochs: Epochs | None = None
    """As `train.epochs`, for the measured models; null takes the run's length."""
    batch_size: BatchSize | None = None
    """As `train.batch_size`, for the measured models; null takes the run's."""
    learning_rate: Positive | None = None
    """As `train.learning_rate`, for the measured models; null takes the run's."""
    schedule: Schedule | None = None
    """As `train.schedule`, for the measured models; null takes the run's."""
    image_size: tuple[Side, Side] | None = None
    """As `data.image_size`, for the measured models; null takes the run's."""

    @model_validator(mode="after")
    def _one_value_per_key(self) -> "FinalConfig":
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"steps={self.steps} and epochs={self.epochs} are both set; keep one")
        own = {key: getattr(self, key) for key in FINAL_KEYS if getattr(self, key) is not None}
        for key in self.train:
            if key in own:
                raise ValueError(
                    f"{key}={own[key]} and train.{key}={self.train[key]} are both set; keep one"
                )
            if key in GROUP_KEYS:
                raise ValueError(
                    f"train.{key}={self.train[key]}: the same processes train all models; "
                    f"set train.{key} of the run"
                )
            if key in CYCLE_KEYS:
                raise ValueError(
                    f"train.{key}={self.train[key]}: these models begin anew and follow no other; "
                    "leave it out"
                )
        return self

    @model_validator(mode="after")
    def _budgets_ascend(self) -> "FinalConfig":
        for before, after in itertools.pairwise(self.budgets):
            if type(before) is type(after) and before >= after:
                raise ValueError(
                    f"budgets={list(self.budgets)} do not ascend: {after} comes after {before}; "
                    "sort them, each once"
                )
        return self

    @property
    def num_repeats(self) -> int:
        """Return how many models are trained at each budget."""
        if self.repeats is not None:
            return self.repeats
        return DEFAULT_REPEATS if self.budgets else 1

    @property
    def recipe(self) -> Recipe:
        """Return the training settings in which these models differ from the models that choose."""
        values = self.model_dump(mode="json")
        own = {key: values[key] for key in FINAL_KEYS if values[key] is not None}
        return Recipe(
            train={"policy": "reset", "warm_learning_rate": None, **own, **self.train},
            image_size=self.image_size,
        )

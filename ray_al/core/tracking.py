"""The section `tracking`: services that show the curves of a run."""

from typing import Annotated

from pydantic import model_validator

from ray_al.core.families.trackers import MLFLOW, TRACKERS, WANDB, Tracker
from ray_al.core.section import Section


class TrackingConfig(Section):
    """Settings of the services that show curves, cycle by cycle."""

    tensorboard: bool = False
    """Whether TensorBoard's files are written below `tensorboard/` in the run directory."""
    mlflow: Annotated[Tracker, MLFLOW] | None = None
    """Writes the curves to MLflow; null does not."""
    wandb: Annotated[Tracker, WANDB] | None = None
    """Writes the curves to Weights & Biases; null does not."""
    own: tuple[Annotated[Tracker, TRACKERS], ...] = ()
    """Further trackers, each `{kind: package.module:Class, …}` with its settings."""

    @model_validator(mode="after")
    def _each_once(self) -> "TrackingConfig":
        kinds = [tracker.kind for tracker in self.trackers]
        if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
            raise ValueError(f"own: {twice[0]!r} is asked for twice; leave one")
        return self

    @property
    def trackers(self) -> tuple[Tracker, ...]:
        """Return all trackers that the section names."""
        files = [TRACKERS.parse({"kind": "tensorboard"})] if self.tensorboard else []
        services = [service for service in (self.mlflow, self.wandb) if service is not None]
        return (*files, *services, *self.own)

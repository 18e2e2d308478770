"""Trackers: services that show curves elsewhere, cycle by cycle."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.storage import Storage


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker may know of a run.

    Attributes:
        storage: its directory.
        name: of the run.
        settings: its configuration with dotted keys.
    """

    storage: Storage
    name: str
    settings: Mapping[str, Any]


class Tracker(Section):
    """A service that shows curves."""

    kind: str
    """Which tracker it is: a built-in kind, or `package.module:Class` for your own."""
    package: ClassVar[str | None] = None
    """A package that must be installed."""

    @abstractmethod
    def tell(
        self, run: TrackedRun, step: int, numbers: Mapping[str, float], memory: dict[str, Any]
    ) -> None:
        """Show the numbers of a cycle; whatever is raised is logged, and does not stop the run.

        Args:
            step: the cycle.
            memory: is kept for later hosts of the run, such as the name that the service has given
                the run. It holds JSON values alone; `told` and `measured` are the caller's.
        """
        raise NotImplementedError

    def for_sweep(self, storage: Storage, name: str) -> Any:
        """Ray Tune's callback that shows the trials of a sweep; None where there is none.

        Args:
            storage: the directory of the sweep.
            name: of the sweep.
        """
        return None


KINDS = {
    "tensorboard": "ray_al.driver.trackers.tensorboard:TensorboardTracker",
    "mlflow": "ray_al.driver.trackers.mlflow:MlflowTracker",
    "wandb": "ray_al.driver.trackers.wandb:WandbTracker",
}
TRACKERS = Family("tracking.own", Tracker, KINDS)
MLFLOW = Family("tracking.mlflow", Tracker, {"mlflow": KINDS["mlflow"]}, default="mlflow")
WANDB = Family("tracking.wandb", Tracker, {"wandb": KINDS["wandb"]}, default="wandb")

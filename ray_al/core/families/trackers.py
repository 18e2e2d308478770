"""Trackers, which are services that show the curves of runs, cycle by cycle."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.storage import Storage


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """The parts of a run that a tracker may read.

    Attributes:
        storage: the run directory.
        name: name of the run.
        settings: the configuration, with dotted keys.
    """

    storage: Storage
    name: str
    settings: Mapping[str, Any]


class Tracker(Section):
    """A service that shows curves."""

    kind: str
    """Which tracker it is: a built-in kind, or `package.module:Class` for your own."""
    package: ClassVar[str | None] = None
    """Package that must be installed; None for none."""

    @abstractmethod
    def tell(
        self, run: TrackedRun, step: int, numbers: Mapping[str, float], memory: dict[str, Any]
    ) -> None:
        """Show the numbers of a cycle; exceptions are logged, and do not stop the run.

        Args:
            run: the run.
            step: number of the cycle.
            numbers: name of a curve -> its value.
            memory: values that are kept for later hosts of the run, such as the name that the
                service has given the run. It holds only JSON values; the keys `told` and
                `measured` belong to the caller.
        """
        raise NotImplementedError

    def for_sweep(self, storage: Storage, name: str) -> Any:
        """Return Ray Tune's callback that shows the trials of a sweep; None if there is none.

        Args:
            storage: directory of the sweep.
            name: name of the sweep.
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

"""Train plans, in the process of the host or on a group of Ray Train workers."""

import hashlib
from typing import Protocol

import torch

from ray_al.core.config import RunConfig
from ray_al.core.storage import Storage
from ray_al.core.types import TrainPlan, TrainResult
from ray_al.train.callbacks import ProgressCallback, StopCallback, WaitingCallback
from ray_al.train.comm import LocalComm
from ray_al.train.loop import CycleTrainer
from ray_al.train.ray_trainer import RayTrainer


class Trainer(Protocol):
    """Trains plans for the driver."""

    def start(self) -> None:
        """Start the training processes in the background, which takes seconds, before any plan."""

    def train(
        self,
        plan: TrainPlan,
        progress: ProgressCallback | None = None,
        should_stop: StopCallback | None = None,
        waiting: WaitingCallback | None = None,
    ) -> TrainResult:
        """Train one plan.

        Args:
            plan: plan to train.
            progress: called when steps are finished.
            should_stop: called often; training stops when it returns true.
            waiting: called while no process trains.

        Raises:
            BrokenImagesError: labelled images cannot be used.
            TrainStopped: `should_stop` returned true.
        """

    def close(self) -> None:
        """Release processes and memory."""


class LocalTrainer:
    """Trains in this process.

    Args:
        config: configuration of the run.
        run_uri: path or URI of the run directory.
    """

    def __init__(self, config: RunConfig, run_uri: str) -> None:
        self.config = config
        self.run_uri = run_uri
        self._cycles: CycleTrainer | None = None

    def start(self) -> None:
        """Do nothing, as there are no processes to start."""

    def train(
        self,
        plan: TrainPlan,
        progress: ProgressCallback | None = None,
        should_stop: StopCallback | None = None,
        waiting: WaitingCallback | None = None,
    ) -> TrainResult:
        """As `Trainer.train`; `waiting` is never called."""
        if self._cycles is None:
            self._cycles = CycleTrainer(self.config, self.run_uri, LocalComm(), self._device())
        return self._cycles.run(plan, progress=progress, should_stop=should_stop)

    def close(self) -> None:
        """Release memory."""
        self._cycles = None

    def _device(self) -> torch.device:
        cuda = self.config.train.gpus_per_worker > 0 and torch.cuda.is_available()
        return torch.device("cuda" if cuda else "cpu")


def open_trainer(config: RunConfig, run_uri: str, attempt: int, *, kind: str = "train") -> Trainer:
    """Return the trainer that `train.workers` asks for; 0 trains in this process.

    Args:
        config: configuration of the run.
        run_uri: path or URI of the run directory.
        attempt: attempt of the driver.
        kind: what is trained. Together with the run and the attempt it makes the name of the group,
            which is unique on a cluster that other runs use too.
    """
    if config.train.workers == 0:
        return LocalTrainer(config, run_uri)
    digest = hashlib.sha256(Storage(run_uri).root.encode()).hexdigest()[:12]
    return RayTrainer(config, run_uri, run_name=f"{kind}-{digest}-{attempt}")

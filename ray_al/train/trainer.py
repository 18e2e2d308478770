"""Who trains: the host's own process, or a group of Ray Train workers that lives as long as the run."""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError
from ray_al.core.storage import Storage, join_uri
from ray_al.core.types import TrainPlan, TrainResult
from ray_al.train.loop import CycleTrainer, Progress, TrainStopped

POLL_SECONDS = 0.05
CLOSE_SECONDS = 60.0
Stop = Callable[[], bool]


class Trainer(Protocol):
    """What the driver asks to train."""

    def train(self, plan: TrainPlan, progress: Progress | None = None, should_stop: Stop | None = None) -> TrainResult:
        """Train one plan."""

    def close(self) -> None:
        """Give back processes and memory."""


class LocalTrainer:
    """Trains in this process."""

    def __init__(self, config: RunConfig, run_uri: str) -> None:
        self.config, self.run_uri = config, run_uri
        self._cycles: CycleTrainer | None = None

    def train(self, plan: TrainPlan, progress: Progress | None = None, should_stop: Stop | None = None) -> TrainResult:
        """Train one plan; TrainStopped where `should_stop` says so."""
        import torch

        from ray_al.train.comm import LocalComm

        if self._cycles is None:
            cuda = self.config.train.gpus_per_worker > 0 and torch.cuda.is_available()
            self._cycles = CycleTrainer(self.config, self.run_uri, LocalComm(), torch.device("cuda" if cuda else "cpu"))
        return self._cycles.run(plan, progress=progress, should_stop=should_stop)

    def close(self) -> None:
        self._cycles = None


class RayTrainer:
    """Trains on a group of Ray Train workers, started with the first plan and kept for the next ones.

    Args:
        config: of the run.
        run_uri: the run directory, on storage that every node reaches.
        run_name: name of the Train run; another one for every host, so that none resumes another's group.
    """

    def __init__(self, config: RunConfig, run_uri: str, *, run_name: str) -> None:
        self.config, self.run_uri, self.run_name = config, Storage(run_uri).root, run_name
        self._mailbox: Any = None
        self._thread: threading.Thread | None = None
        self._errors: list[BaseException] = []
        self._groups = 0

    def train(self, plan: TrainPlan, progress: Progress | None = None, should_stop: Stop | None = None) -> TrainResult:
        """Give out a plan and wait for its answer.

        Raises:
            BrokenImagesError: labelled images cannot be used.
            RayALError: the cycle failed more often than `train.max_failures`, or cannot work.
            TrainStopped: `should_stop` said so.
        """
        import ray

        self._start()
        serial = ray.get(self._mailbox.put_plan.remote(plan))
        try:
            result = self._wait(plan, serial, progress, should_stop)
        except BaseException:
            self.close()
            raise
        if not self.config.keeps_group:
            self.close()
        return result

    def close(self) -> None:
        """End the group and its mailbox."""
        import ray

        if self._mailbox is None:
            return
        ray.get(self._mailbox.stop.remote())
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        ray.kill(self._mailbox)
        self._mailbox = self._thread = None

    def _wait(self, plan: TrainPlan, serial: int, progress: Progress | None, should_stop: Stop | None) -> TrainResult:
        import ray

        told = (0, 0)
        while True:
            state = ray.get(self._mailbox.get_answer.remote(serial))
            if isinstance(state["answer"], TrainResult):
                return state["answer"]
            if state["answer"] is not None:
                raise state["answer"]
            self._check_failures(plan, state["starts"], state["error"])
            if progress is not None and state["progress"] != told:
                told = state["progress"]
                progress(*told)
            if should_stop is not None and should_stop():
                raise TrainStopped(f"cycle {plan.cycle}: training was stopped at step {told[0]} of {told[1]}")
            time.sleep(POLL_SECONDS)

    def _check_failures(self, plan: TrainPlan, starts: int, error: str) -> None:
        if self._errors:
            raise RayALError(f"cycle {plan.cycle}: the training group ended: {_text(self._errors[0])}") from self._errors[0]
        limit = self.config.train.max_failures
        if starts - 1 > limit:
            message = f"cycle {plan.cycle}: training failed {starts - 1} times (train.max_failures is {limit})"
            raise RayALError(f"{message}; last error: {error or 'a worker process died'}")

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        from ray_al.train.mailbox import start_mailbox

        if self._mailbox is not None:
            self.close()
        name = f"mailbox-{self.run_name}-{self._groups}"
        self._errors = []
        self._mailbox = start_mailbox(name)
        self._thread = threading.Thread(target=self._fit, args=(name, f"{self.run_name}-{self._groups}"), daemon=True, name="ray-al-fit")
        self._groups += 1
        self._thread.start()

    def _fit(self, mailbox: str, name: str) -> None:
        try:
            self._torch_trainer(mailbox, name).fit()
        except BaseException as error:  # raised by the thread that waits in train()
            self._errors.append(error)

    def _torch_trainer(self, mailbox: str, name: str) -> Any:
        import ray
        from ray.train import FailureConfig, ScalingConfig
        from ray.train import RunConfig as TrainRunConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from ray_al.train.worker import worker_loop

        train = self.config.train
        gpus = train.gpus_per_worker
        resources = {"CPU": 1, "GPU": gpus} if gpus else {"CPU": 0.5}
        workers = train.workers if isinstance(train.workers, int) else tuple(train.workers)
        loop_config = {
            "config": self.config.model_dump(mode="json"),
            "run_uri": self.run_uri,
            "mailbox": mailbox,
            "namespace": ray.get_runtime_context().namespace,
        }
        return TorchTrainer(
            worker_loop,
            train_loop_config=loop_config,
            torch_config=TorchConfig(backend=train.backend),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=bool(gpus), resources_per_worker=resources),
            run_config=TrainRunConfig(
                name=name,
                storage_path=join_uri(self.run_uri, ".ray_train"),
                failure_config=FailureConfig(max_failures=-1, controller_failure_limit=3, max_preemption_failures=-1),
            ),
        )


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[-2000:] or type(error).__name__


def open_trainer(config: RunConfig, run_uri: str, attempt: int, *, kind: str = "train") -> Trainer:
    """The trainer that `train.workers` asks for; 0 trains in this process.

    Args:
        attempt: the driver's term.
        kind: what is trained; with the run and the attempt it names the group on the cluster, where other runs have groups too.
    """
    if config.train.workers == 0:
        return LocalTrainer(config, run_uri)
    digest = hashlib.sha256(Storage(run_uri).root.encode()).hexdigest()[:12]
    return RayTrainer(config, run_uri, run_name=f"{kind}-{digest}-{attempt}")

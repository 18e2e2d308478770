"""The loop of a Ray Train worker: fetch a plan, train it, answer, repeat until asked to stop."""

import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TypedDict

import ray
import ray.train
import torch
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import get_device
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError, StoreUnavailableError
from ray_al.core.types import TrainPlan, TrainResult
from ray_al.train.callbacks import ProgressCallback, StopCallback
from ray_al.train.comm import Comm, LocalComm, TorchComm
from ray_al.train.loop import CycleTrainer, TrainStopped
from ray_al.train.mailbox import PlanKey

POLL_SECONDS = 0.05
PROGRESS_SECONDS = 0.5
"""Shortest time between two reports of progress, and between two questions whether to stop."""
BEAT_SECONDS = 2.0
"""Time between two signs of life."""


class LoopConfig(TypedDict):
    """Arguments of `worker_loop`.

    Attributes:
        config: configuration of the run, as plain values.
        run_uri: URI of the run directory.
        mailbox: name of the mailbox actor.
        namespace: Ray namespace of the mailbox actor.
    """

    config: dict[str, Any]
    run_uri: str
    mailbox: str
    namespace: str


def worker_loop(loop_config: LoopConfig) -> None:
    """Train plans until the mailbox asks to stop; runs on every worker of the group."""
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    try:
        mailbox = ray.get_actor(loop_config["mailbox"], namespace=loop_config["namespace"])
    except ValueError:
        return  # the mailbox is lost, so the host has another one with another group by now
    if rank == 0:
        threading.Thread(target=_beat, args=(mailbox,), daemon=True, name="ray-al-beat").start()
    worker = _Worker(loop_config, mailbox, rank, world_size)
    seen: PlanKey | None = None
    while True:
        todo = broadcast_from_rank_zero(_next_plan(mailbox, seen) if rank == 0 else None)
        if todo == "stop":
            return
        serial, plan = todo
        if not worker.handle(serial, plan):
            return
        seen = PlanKey(plan.cycle, plan.attempt, serial)


class _Worker:
    """One worker of the group.

    Args:
        loop_config: arguments of `worker_loop`.
        mailbox: handle of the mailbox actor; only rank 0 reports to it, except for errors.
        rank: number of the worker.
        world_size: number of workers.
    """

    def __init__(self, loop_config: LoopConfig, mailbox: Any, rank: int, world_size: int) -> None:
        self.config = RunConfig.model_validate(loop_config["config"])
        self.run_uri = loop_config["run_uri"]
        self.mailbox = mailbox
        self.rank = rank
        self.world_size = world_size
        self.comm: Comm = TorchComm() if world_size > 1 else LocalComm()
        self.device = _device(self.config)
        self._cycles: CycleTrainer | None = None

    def handle(self, serial: int, plan: TrainPlan) -> bool:
        """Train a plan and answer.

        Returns:
            Whether the worker continues with another plan.

        Raises:
            Exception: training failed in a way that a restart of the group may mend.
        """
        if self.rank == 0:
            ray.get(self.mailbox.started.remote(serial))
        try:
            answer = self._train(serial, plan)
        except TrainStopped:
            return False
        except ray.exceptions.RayActorError:
            raise  # the mailbox is lost; every worker notices it after its restart
        except StoreUnavailableError as error:
            self._report(serial, error)
            raise
        except RayALError as error:
            self._answer(serial, plan, error)  # a restart would meet the same error
            return False
        except Exception as error:
            self._report(serial, error)
            raise
        if self.rank == 0:
            self._answer(serial, plan, answer)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # the scorer takes over the GPU
        return True

    def _train(self, serial: int, plan: TrainPlan) -> TrainResult:
        if self._cycles is None:
            self._cycles = CycleTrainer(self.config, self.run_uri, self.comm, self.device)
        return self._cycles.run(
            plan,
            wrap=_wrap(self.world_size, self.device),
            progress=_progress(self.mailbox, serial) if self.rank == 0 else None,
            should_stop=_should_stop(self.mailbox) if self.rank == 0 else None,
        )

    def _report(self, serial: int, error: Exception) -> None:
        ray.get(self.mailbox.failed.remote(serial, f"{type(error).__name__}: {error}"))

    def _answer(self, serial: int, plan: TrainPlan, answer: TrainResult | RayALError) -> None:
        ray.get(self.mailbox.put_answer.remote(serial, plan.cycle, plan.attempt, answer))


def _beat(mailbox: Any) -> None:
    """Send signs of life as long as this process lives.

    They come from a thread of their own, because a step or the reading of images may take minutes.
    """
    while True:
        mailbox.beat.remote()
        time.sleep(BEAT_SECONDS)


def _next_plan(mailbox: Any, seen: PlanKey | None) -> tuple[int, TrainPlan] | Literal["stop"]:
    """Poll the mailbox for a plan other than `seen`."""
    while True:
        todo: tuple[int, TrainPlan] | Literal["stop"] | None
        todo = ray.get(mailbox.next_plan.remote(seen))
        if todo is not None:
            return todo
        time.sleep(POLL_SECONDS)


def _device(config: RunConfig) -> torch.device:
    """Return CUDA only if torch sees it: a GPU that Ray assigned may be one that a test made up."""
    if config.train.gpus_per_worker and torch.cuda.is_available():
        device: torch.device = get_device()
        return device
    return torch.device("cpu")


def _wrap(world_size: int, device: torch.device) -> Callable[[nn.Module], nn.Module]:
    if world_size == 1:
        return lambda model: model
    device_ids = [device] if device.type == "cuda" else None
    return lambda model: DistributedDataParallel(model, device_ids=device_ids)


def _progress(mailbox: Any, serial: int) -> ProgressCallback:
    """Return a callback that reports the progress of a plan, not too often."""
    last = 0.0

    def report(step: int, total: int) -> None:
        nonlocal last
        if step == total or time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            mailbox.put_progress.remote(serial, step, total)

    return report


def _should_stop(mailbox: Any) -> StopCallback:
    """Return a callback that asks the mailbox whether to stop, not too often."""
    last = time.monotonic()
    is_stopped = False

    def should_stop() -> bool:
        nonlocal last, is_stopped
        if not is_stopped and time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            is_stopped = bool(ray.get(mailbox.should_stop.remote()))
        return is_stopped

    return should_stop

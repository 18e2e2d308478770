"""The loop of a Ray Train worker: ask for a plan, train it, answer, until told to stop."""

import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError, StoreUnavailableError
from ray_al.train.comm import Comm, LocalComm, TorchComm
from ray_al.train.loop import CycleTrainer, TrainStopped

POLL_SECONDS = 0.05
PROGRESS_SECONDS = 0.5
BEAT_SECONDS = 2.0


def worker_loop(loop_config: dict[str, Any]) -> None:
    """Runs on every worker of the group."""
    import ray
    import ray.train
    from ray.train.collective import broadcast_from_rank_zero

    config = RunConfig.model_validate(loop_config["config"])
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    try:
        mailbox = ray.get_actor(loop_config["mailbox"], namespace=loop_config["namespace"])
    except (
        ValueError
    ):  # lost: the host has another mailbox and another group by now, and this one ends
        return
    if rank == 0:
        threading.Thread(target=_beat, args=(mailbox,), daemon=True, name="ray-al-beat").start()
    comm: Comm = TorchComm() if world_size > 1 else LocalComm()
    device = _device(config)
    cycles: CycleTrainer | None = None
    seen = None
    while True:
        todo = broadcast_from_rank_zero(_next_plan(mailbox, seen) if rank == 0 else None)
        if todo == "stop":
            return
        serial, plan = todo
        if rank == 0:
            ray.get(mailbox.started.remote(serial))
        try:
            if cycles is None:
                cycles = CycleTrainer(config, loop_config["run_uri"], comm, device)
            told, stop = (
                (_teller(mailbox, serial), _stopper(mailbox)) if rank == 0 else (None, None)
            )
            answer: Any = cycles.run(
                plan, wrap=_wrap(world_size, device), progress=told, should_stop=stop
            )
        except TrainStopped:
            return
        except (
            ray.exceptions.RayActorError
        ):  # the mailbox is lost; started again, every worker of this group finds that out
            raise
        except Exception as error:
            if not isinstance(error, RayALError) or isinstance(error, StoreUnavailableError):
                ray.get(mailbox.failed.remote(serial, f"{type(error).__name__}: {error}"))
                raise
            answer = error  # a restart would meet it again
        if rank == 0 or isinstance(answer, RayALError):
            ray.get(mailbox.put_answer.remote(serial, plan.cycle, plan.attempt, answer))
        if isinstance(answer, RayALError):
            return
        seen = (plan.cycle, plan.attempt, serial)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # the scorer takes the GPU over


def _beat(mailbox: Any) -> None:
    """Tell that this group lives, as long as its process does: a step, or reading images, may take minutes."""
    while True:
        mailbox.beat.remote()
        time.sleep(BEAT_SECONDS)


def _next_plan(mailbox: Any, seen: tuple[int, int, int] | None) -> Any:
    import ray

    while True:
        todo = ray.get(mailbox.next_plan.remote(seen))
        if todo is not None:
            return todo
        time.sleep(POLL_SECONDS)


def _device(config: RunConfig) -> torch.device:
    """CUDA only where there is one: a GPU that Ray assigned may be a fake one of a test."""
    if config.train.gpus_per_worker and torch.cuda.is_available():
        from ray.train.torch import get_device

        return get_device()
    return torch.device("cpu")


def _wrap(world_size: int, device: torch.device) -> Callable[[nn.Module], nn.Module]:
    if world_size == 1:
        return lambda model: model

    def wrap(model: nn.Module) -> nn.Module:
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None
        )

    return wrap


def _teller(mailbox: Any, serial: int) -> Callable[[int, int], None]:
    last = 0.0

    def tell(step: int, total: int) -> None:
        nonlocal last
        if step == total or time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            mailbox.put_progress.remote(serial, step, total)

    return tell


def _stopper(mailbox: Any) -> Callable[[], bool]:
    import ray

    last, stopped = time.monotonic(), False

    def stop() -> bool:
        nonlocal last, stopped
        if not stopped and time.monotonic() - last > PROGRESS_SECONDS:
            last, stopped = time.monotonic(), ray.get(mailbox.should_stop.remote())
        return stopped

    return stop

"""Ray where a run needs it: a cluster that is there is used, else a local one is started and stopped."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from ray_al.core.config import RunConfig

NAMESPACE = "ray_al"


def needs_ray(config: RunConfig) -> bool:
    return config.cluster.host == "actor" or config.train.workers != 0 or config.score.workers != 0


@contextlib.contextmanager
def connect(config: RunConfig, *, num_cpus: int | None = None) -> Iterator[None]:
    """Be connected to Ray inside, if `config` needs it. `num_cpus` are those of a local cluster that is started for it."""
    if not needs_ray(config):
        yield
        return
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    import ray

    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR}
    _init(num_cpus or config.cluster.num_cpus or max(4, os.cpu_count() or 1), options)
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():  # Ray puts its own in place, which end the process in the middle of a step
            signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _init(num_cpus: int, options: dict[str, Any]) -> None:
    """Attach where `RAY_ADDRESS` or `ray start` says; never to the private cluster of another process, which dies with it."""
    import ray

    if os.environ.get("RAY_ADDRESS"):
        ray.init(**options)
        return
    # The dashboard stays on: Train's clean-up of placement groups asks it whether a controller lives.
    local = {"num_cpus": num_cpus, "include_dashboard": True, "dashboard_port": 0}
    try:
        ray.init(**local, **options)
    except ValueError:  # Ray's word that a cluster runs here, whose CPUs are not ours to set
        ray.init(**options)
    except ConnectionError:  # the cluster that `ray start` left a note of is gone
        ray.init(address="local", **local, **options)

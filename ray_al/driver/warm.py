"""Start processes of a private cluster early, so they import what scoring needs."""

import importlib

from ray_al.core.config import RunConfig

MODULES = ("ray.data", "torch", "ray_al.scoring.shards")
MOST = 4
"""Maximum number of processes; more scorers start when they are needed."""


def warm_up(config: RunConfig) -> None:
    """Start processes for scoring tasks, without waiting for them.

    Ray gives a process that has run a task to later tasks only. Actors, such as the training group
    and scorers on GPUs, gain nothing from this.
    """
    import ray  # takes a second, and runs without Ray do without it

    load = ray.remote(num_cpus=0, max_retries=0)(load_modules)
    if not config.scoring.gpus_per_worker:
        for _ in range(min(config.scoring.workers, MOST)):
            load.remote(MODULES)


def load_modules(modules: tuple[str, ...]) -> None:
    """Import `modules`."""
    for module in modules:
        importlib.import_module(module)

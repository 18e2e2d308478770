"""Processes of a private cluster that import what scoring needs while the driver starts and trains, and then score."""

import importlib

from ray_al.core.config import RunConfig

MODULES = ("ray.data", "torch", "ray_al.score.shards")
MOST = 4
"""More scorers start as they are needed."""


def warm_up(config: RunConfig) -> None:
    """Start processes for scoring tasks; nobody waits for them.

    Ray gives a process that has run a task to later tasks alone, so actors (the training group, scorers on GPUs) gain nothing from this.
    """
    import ray

    load = ray.remote(num_cpus=0, max_retries=0)(load_modules)
    if not config.score.gpus_per_worker:
        for _ in range(min(config.score.workers, MOST)):
            load.remote(MODULES)


def load_modules(modules: tuple[str, ...]) -> None:
    """Import `modules`."""
    for module in modules:
        importlib.import_module(module)

"""Processes of a private cluster that import what a run needs while its driver still starts, and then become the run's workers."""

import importlib

from ray_al.core.config import RunConfig
from ray_al.driver.resources import trainers

TRAINING = ("ray.train.torch", "ray.train.v2._internal.execution.controller", "ray_al.train.worker")
SCORING = ("ray.data", "torch", "ray_al.score.shards")
HELPERS = 3
"""Of Ray Train's own actors, those that start one after the other before the workers do."""
MOST = 8
"""Workers of a group beyond so many start as they did."""


def warm_up(config: RunConfig) -> None:
    """Start processes, and let them import side by side: Ray gives them to the next actors and tasks that ask for the same environment.

    Nobody waits for them.
    """
    import ray

    load = ray.remote(num_cpus=0, max_retries=0)(load_modules)
    if config.score.workers:
        load.remote(SCORING)
    group = trainers(config, least=True)
    if group.count:
        from ray_al.train.controller import training_environment

        environment = {"env_vars": training_environment(in_actor=config.cluster.host == "actor")}
        for _ in range(min(group.count, MOST) + HELPERS):
            load.options(runtime_env=environment).remote(TRAINING)


def load_modules(modules: tuple[str, ...]) -> None:
    """Import `modules`."""
    for module in modules:
        importlib.import_module(module)

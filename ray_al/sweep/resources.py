"""How many runs of a sweep fit into the cluster at a time, so that they never wait for each other."""

import math
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.driver.resources import check_fits, living_nodes, may_grow, run_resources


def runs_at_once(configs: list[RunConfig], wanted: Any) -> int:
    """How many of the runs fit into the connected cluster at the same time; at least one where it may grow.

    Raises:
        ConfigError: not one fits, or fewer than `wanted`; with the numbers.
    """
    nodes = living_nodes()
    if may_grow(nodes) and wanted != "auto":
        return int(wanted)
    have = {name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    needs = [run_resources(config) for config in configs]
    cpus, gpus = max(need.cpus for need in needs), max(need.gpus for need in needs)
    fits = math.floor(have["CPU"] / cpus + 1e-9)
    if gpus:
        fits = min(fits, math.floor(have["GPU"] / gpus + 1e-9))
    if may_grow(nodes):
        return max(1, fits)
    need = f"one run needs {cpus:g} CPUs and {gpus:g} GPUs at its peak, the cluster has {have['CPU']:g} and {have['GPU']:g}"
    if fits < 1:
        raise ConfigError(
            f"{need}; lower train.threads, train.workers or score.workers, or add nodes"
        )
    for config in configs:
        check_fits(config)
    if wanted != "auto" and wanted > fits:
        raise ConfigError(
            f"limits.at_once={wanted}: {need}, enough for {fits}; lower it, or set it to auto"
        )
    return fits if wanted == "auto" else int(wanted)

"""The number of runs that fit into the cluster together, so they never wait for each other."""

import math
from collections.abc import Sequence
from typing import Literal

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.driver.resources import check_fits, living_nodes, may_grow, run_resources


def runs_at_once(configs: Sequence[RunConfig], wanted: int | Literal["auto"]) -> int:
    """Return how many of the runs fit into the connected cluster at a time.

    A cluster that may grow takes at least one.

    Args:
        wanted: number to start at a time; `auto` for as many as fit.

    Raises:
        ConfigError: none fits, or fewer than `wanted`; the message has the numbers.
    """
    nodes = living_nodes()
    if may_grow(nodes) and wanted != "auto":
        return int(wanted)
    have: dict[str, float] = {
        name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")
    }
    needs = [run_resources(config) for config in configs]
    cpus, gpus = max(need.cpus for need in needs), max(need.gpus for need in needs)
    fits = math.floor(have["CPU"] / cpus + 1e-9)
    if gpus:
        fits = min(fits, math.floor(have["GPU"] / gpus + 1e-9))
    if may_grow(nodes):
        return max(1, fits)
    need = (
        f"one run needs {cpus:g} CPUs and {gpus:g} GPUs at its peak, "
        f"the cluster has {have['CPU']:g} and {have['GPU']:g}"
    )
    if fits < 1:
        raise ConfigError(
            f"{need}; lower train.threads, train.workers or scoring.workers, or add nodes"
        )
    for config in configs:
        check_fits(config)
    if wanted != "auto" and wanted > fits:
        raise ConfigError(
            f"limits.at_once={wanted}: {need}, enough for {fits}; lower it, or set it to auto"
        )
    return fits if wanted == "auto" else int(wanted)

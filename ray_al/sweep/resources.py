"""What a trial takes of the cluster, counted so that trials, their training workers and their scorers never wait for each other."""

import math
from dataclasses import dataclass
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError

TOKEN_CPU = 0.01
"""What a host that only waits for its workers asks for; Tune refuses 0."""


@dataclass(frozen=True, kw_only=True)
class TrialResources:
    """What one run holds at its peak: the host's own bundle, and all of it together."""

    host: dict[str, float]
    cpus: float
    gpus: float


def trial_resources(config: RunConfig) -> TrialResources:
    """The bundle of a trial's host, and the whole run's peak.

    The host trains (`train.workers: 0`) or scores (`score.workers: 0`) in its own process; workers ask Ray for their own.
    """
    train, score = config.train, config.score
    workers = train.workers if isinstance(train.workers, int) else train.workers[1]
    host = {"CPU": float(max(train.threads if workers == 0 else TOKEN_CPU, score.threads if score.workers == 0 else TOKEN_CPU))}
    host_gpus = max(train.gpus_per_worker if workers == 0 else 0.0, score.gpus_per_worker if score.workers == 0 else 0.0)
    if host_gpus:
        host["GPU"] = host_gpus
    train_cpus, train_gpus = workers * (1.0 if train.gpus_per_worker else 0.5), workers * train.gpus_per_worker
    score_cpus, score_gpus = score.workers * (0.0 if score.gpus_per_worker else 0.5), score.workers * score.gpus_per_worker
    join = sum if config.keeps_group else max
    return TrialResources(host=host, cpus=host["CPU"] + join((train_cpus, score_cpus)), gpus=host_gpus + join((train_gpus, score_gpus)))


def runs_at_once(configs: list[RunConfig], wanted: Any) -> int:
    """How many of the runs fit into the connected cluster at the same time.

    Raises:
        ConfigError: not one fits, or fewer than `wanted`; with the numbers.
    """
    import ray

    have = ray.cluster_resources()
    needs = [trial_resources(config) for config in configs]
    cpus, gpus = max(need.cpus for need in needs), max(need.gpus for need in needs)
    fits = math.floor(have.get("CPU", 0) / cpus + 1e-9)
    if gpus:
        fits = min(fits, math.floor(have.get("GPU", 0) / gpus + 1e-9))
    need = f"one run needs {cpus:g} CPUs and {gpus:g} GPUs at its peak, the cluster has {have.get('CPU', 0):g} and {have.get('GPU', 0):g}"
    if fits < 1:
        raise ConfigError(f"{need}; lower train.threads, train.workers or score.workers, or add nodes")
    if wanted != "auto" and wanted > fits:
        raise ConfigError(f"limits.at_once={wanted}: {need}, enough for {fits}; lower it, or set it to auto")
    return fits if wanted == "auto" else int(wanted)

"""Count before a run what it takes of the cluster, and whether the cluster has it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError

TOKEN_CPU = 0.01
"""CPUs of a host that only waits for its workers; Tune refuses 0."""
NODE_GROUP = "ray.io/node-group"
"""Label of nodes that an autoscaler started."""
SHARED_CPUS = 0.5
"""CPUs that a worker without a GPU asks for; two of them share one."""
TOLERANCE = 1e-9
"""Sums of fractions of CPUs and GPUs are compared up to this difference."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Processes that ask Ray for the same resources, each within one node.

    Attributes:
        count: number of processes.
        cpus: CPUs of each.
        gpus: GPUs of each; a fraction is a part of one GPU.
    """

    count: int
    cpus: float
    gpus: float

    def fit(self, node: Mapping[str, float]) -> int:
        """Return how many of the processes fit into an empty node.

        A fraction of a GPU lies on one GPU, so two trainers with 0.6 need two.
        """
        by_cpu = _floor(node.get("CPU", 0) / self.cpus) if self.cpus else self.count
        return min(by_cpu, self._fit_gpus(node.get("GPU", 0)))

    def _fit_gpus(self, gpus: float) -> int:
        if not self.gpus:
            return self.count
        if self.gpus < 1:
            return _floor(gpus) * _floor(1 / self.gpus)
        return _floor(gpus / self.gpus)


@dataclass(frozen=True, kw_only=True)
class RunResources:
    """Resources that one run holds at its peak.

    Attributes:
        host: resources that the host of a trial asks Tune for.
        cpus: CPUs of the whole run.
        gpus: GPUs of the whole run.
    """

    host: dict[str, float]
    cpus: float
    gpus: float


def trainers(config: RunConfig, *, least: bool = False) -> Worker:
    """Return the group of training workers; for an elastic group the largest, or the `least`."""
    workers = config.train.workers
    count = workers if isinstance(workers, int) else workers[0 if least else 1]
    return Worker(
        count=count,
        cpus=1.0 if config.train.gpus_per_worker else SHARED_CPUS,
        gpus=config.train.gpus_per_worker,
    )


def scorers(config: RunConfig) -> Worker:
    """Return the scoring tasks that may run at a time; one is enough for the run to continue."""
    return Worker(
        count=config.scoring.workers,
        cpus=0.0 if config.scoring.gpus_per_worker else SHARED_CPUS,
        gpus=config.scoring.gpus_per_worker,
    )


def run_resources(config: RunConfig) -> RunResources:
    """Return the resources of a trial's host, and the peak of the whole run.

    The host trains (`train.workers: 0`) or scores (`scoring.workers: 0`) in its own process;
    workers ask Ray for resources of their own.
    """
    train, scoring = config.train, config.scoring
    group, tasks = trainers(config), scorers(config)
    host = {
        "CPU": float(
            max(
                train.threads if group.count == 0 else TOKEN_CPU,
                scoring.threads if tasks.count == 0 else TOKEN_CPU,
            )
        )
    }
    host_gpus = max(
        train.gpus_per_worker if group.count == 0 else 0.0,
        scoring.gpus_per_worker if tasks.count == 0 else 0.0,
    )
    if host_gpus:
        host["GPU"] = host_gpus
    join = sum if config.keeps_group else max
    cpus = join((group.count * group.cpus, tasks.count * tasks.cpus))
    gpus = join((group.count * group.gpus, tasks.count * tasks.gpus))
    return RunResources(host=host, cpus=host["CPU"] + cpus, gpus=host_gpus + gpus)


def check_fits(config: RunConfig) -> None:
    """Check that the connected cluster has room for the training group and one scorer.

    A cluster with an autoscaler may still grow: there the run waits for missing resources, for up
    to `cluster.start_timeout_s`.

    Raises:
        ConfigError: the run can never start; names what it needs and what there is.
    """
    nodes = living_nodes()
    if not may_grow(nodes):
        check_nodes(config, [node["Resources"] for node in nodes])


def living_nodes() -> list[dict[str, Any]]:
    """Return the living nodes of the connected cluster, as Ray describes them."""
    import ray  # takes a second to load, and most callers do without it

    return [node for node in ray.nodes() if node["Alive"]]


def may_grow(nodes: list[dict[str, Any]]) -> bool:
    """Return whether an autoscaler started these nodes, and may start more."""
    return any(NODE_GROUP in node.get("Labels", {}) for node in nodes)


def check_nodes(config: RunConfig, nodes: list[dict[str, float]]) -> None:
    """Check that nodes with these resources have room for the training group and one scorer.

    Raises:
        ConfigError: the run can never start; names what it needs and what there is.
    """
    group, scorer = trainers(config, least=True), scorers(config)
    single_scorer = Worker(count=min(1, scorer.count), cpus=scorer.cpus, gpus=scorer.gpus)
    have = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    join = sum if config.keeps_group else max
    cpus = join((group.cpus * group.count, single_scorer.cpus * single_scorer.count))
    gpus = join((group.gpus * group.count, single_scorer.gpus * single_scorer.count))
    placed = all(worker.count <= sum(map(worker.fit, nodes)) for worker in (group, single_scorer))
    if placed and cpus <= have["CPU"] + TOLERANCE and gpus <= have["GPU"] + TOLERANCE:
        return
    seen = (
        f"train.workers={config.train.workers}, train.gpus_per_worker={group.gpus:g}, "
        f"scoring.gpus_per_worker={single_scorer.gpus:g}"
    )
    if not placed and cpus <= have["CPU"] and gpus <= have["GPU"]:
        raise ConfigError(
            f"{seen}: no node has room for what one worker needs ({_amount(group)} to train, "
            f"{_amount(single_scorer)} to score), or not enough nodes have; the nodes have "
            f"{'; '.join(_node(node) for node in nodes)}. "
            "Lower train.workers or gpus_per_worker, or add nodes"
        )
    raise ConfigError(
        f"{seen}: the run needs {cpus:g} CPUs and {gpus:g} GPUs at a time, the cluster has "
        f"{have['CPU']:g} and {have['GPU']:g}; lower train.workers or gpus_per_worker, raise "
        "cluster.num_cpus, or add nodes"
    )


def _amount(worker: Worker) -> str:
    return f"{worker.cpus:g} CPUs and {worker.gpus:g} GPUs"


def _node(node: Mapping[str, float]) -> str:
    return f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs"


def _floor(value: float) -> int:
    return math.floor(value + TOLERANCE)

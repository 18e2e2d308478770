"""What a run takes of the cluster, and whether the cluster has it: counted before the run starts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError

TOKEN_CPU = 0.01
"""What a host that only waits for its workers asks for; Tune refuses 0."""
NODE_GROUP = "ray.io/node-group"
"""The label of nodes that an autoscaler started."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """What each of `count` processes asks Ray for; one of them must fit into one node."""

    count: int
    cpus: float
    gpus: float

    def fit(self, node: Mapping[str, float]) -> int:
        """How many fit into an empty node. A share of a GPU lies on one GPU, so two trainers of 0.6 need two."""
        by_cpu = _floor(node.get("CPU", 0) / self.cpus) if self.cpus else self.count
        gpus = node.get("GPU", 0)
        by_gpu = (
            self.count
            if not self.gpus
            else _floor(gpus) * _floor(1 / self.gpus)
            if self.gpus < 1
            else _floor(gpus / self.gpus)
        )
        return min(by_cpu, by_gpu)


@dataclass(frozen=True, kw_only=True)
class RunResources:
    """What one run holds at its peak: the bundle that a trial's host asks Tune for, and all of it together."""

    host: dict[str, float]
    cpus: float
    gpus: float


def trainers(config: RunConfig, *, least: bool = False) -> Worker:
    """The group of training workers; of an elastic one the largest, or the `least`."""
    workers = config.train.workers
    count = workers if isinstance(workers, int) else workers[0 if least else 1]
    return Worker(
        count=count,
        cpus=1.0 if config.train.gpus_per_worker else 0.5,
        gpus=config.train.gpus_per_worker,
    )


def scorers(config: RunConfig) -> Worker:
    """As many scoring tasks as may run at a time; one is enough to go on."""
    return Worker(
        count=config.score.workers,
        cpus=0.0 if config.score.gpus_per_worker else 0.5,
        gpus=config.score.gpus_per_worker,
    )


def run_resources(config: RunConfig) -> RunResources:
    """The bundle of a trial's host, and the whole run's peak.

    The host trains (`train.workers: 0`) or scores (`score.workers: 0`) in its own process; workers ask Ray for their own.
    """
    train, score = config.train, config.score
    group, tasks = trainers(config), scorers(config)
    host = {
        "CPU": float(
            max(
                train.threads if group.count == 0 else TOKEN_CPU,
                score.threads if tasks.count == 0 else TOKEN_CPU,
            )
        )
    }
    host_gpus = max(
        train.gpus_per_worker if group.count == 0 else 0.0,
        score.gpus_per_worker if tasks.count == 0 else 0.0,
    )
    if host_gpus:
        host["GPU"] = host_gpus
    join = sum if config.keeps_group else max
    cpus, gpus = (
        join((group.count * group.cpus, tasks.count * tasks.cpus)),
        join((group.count * group.gpus, tasks.count * tasks.gpus)),
    )
    return RunResources(host=host, cpus=host["CPU"] + cpus, gpus=host_gpus + gpus)


def check_fits(config: RunConfig) -> None:
    """Compare what the run needs to go on at all (its training group, and one scorer) with the connected cluster.

    A cluster with an autoscaler may still grow: there, what is missing is waited for, as long as `cluster.start_timeout_s` says.

    Raises:
        ConfigError: it can never start; with the numbers.
    """
    nodes = living_nodes()
    if not may_grow(nodes):
        check_nodes(config, [node["Resources"] for node in nodes])


def living_nodes() -> list[dict[str, Any]]:
    """What Ray says of the nodes of the connected cluster."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def may_grow(nodes: list[dict[str, Any]]) -> bool:
    """Whether an autoscaler started these nodes, and may start more."""
    return any(NODE_GROUP in node.get("Labels", {}) for node in nodes)


def check_nodes(config: RunConfig, nodes: list[dict[str, float]]) -> None:
    """`check_fits` for nodes of these resources.

    Raises:
        ConfigError: see there.
    """
    group, scorer = trainers(config, least=True), scorers(config)
    one = Worker(count=min(1, scorer.count), cpus=scorer.cpus, gpus=scorer.gpus)
    have = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    join = sum if config.keeps_group else max
    cpus, gpus = (
        join((getattr(group, name) * group.count, getattr(one, name) * one.count))
        for name in ("cpus", "gpus")
    )
    placed = all(worker.count <= sum(worker.fit(node) for node in nodes) for worker in (group, one))
    if placed and cpus <= have["CPU"] + 1e-9 and gpus <= have["GPU"] + 1e-9:
        return
    seen = f"train.workers={config.train.workers}, train.gpus_per_worker={group.gpus:g}, score.gpus_per_worker={one.gpus:g}"
    if not placed and cpus <= have["CPU"] and gpus <= have["GPU"]:
        raise ConfigError(
            f"{seen}: no node has room for what one worker needs ({_amount(group)} to train, {_amount(one)} to score), or not enough nodes have; "
            f"the nodes have {'; '.join(_node(node) for node in nodes)}. Lower train.workers or gpus_per_worker, or add nodes"
        )
    raise ConfigError(
        f"{seen}: the run needs {cpus:g} CPUs and {gpus:g} GPUs at a time, the cluster has {have['CPU']:g} and {have['GPU']:g}; "
        "lower train.workers or gpus_per_worker, raise cluster.num_cpus, or add nodes"
    )


def _amount(worker: Worker) -> str:
    return f"{worker.cpus:g} CPUs and {worker.gpus:g} GPUs"


def _node(node: Mapping[str, float]) -> str:
    return f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs"


def _floor(value: float) -> int:
    return math.floor(value + 1e-9)

"""Store the features of a frozen backbone for the pool."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.cycles import (
    needs_features,
    needs_model,
    needs_scores,
    next_cycle,
    num_passes,
)
from ray_al.driver.embedding import open_source, plan_of
from ray_al.driver.pool_pass import run_tasks
from ray_al.features.plan import StorePlan
from ray_al.ledger import State
from ray_al.ledger.records import PoolEmbedded, ShardName, ShardsEmbedded
from ray_al.scoring.shards import ShardResult, ShardTask

if TYPE_CHECKING:
    from ray_al.features.source import FeatureSource

TASKS_A_WORKER = 4
"""Minimum number of tasks per worker, if there are enough shards."""
MOST_SHARDS = 16
"""Maximum number of shards per task; if a task fails, the shards that it has written remain."""


@dataclass(frozen=True)
class Embed(Action):
    """Store the features that the frozen backbone computes for the pool."""

    leads_to_training = True

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Store features if something reads them often enough for storing them to pay."""
        cycle = next_cycle(state, config)
        return cls() if needs_embedding(state, config, cycle) else None

    def perform(self, context: Context) -> PoolEmbedded:
        """Store the features shard by shard, except for shards that are already stored."""
        start, source = time.monotonic(), open_source(context)
        plan = plan_of(context.config, source, len(source.rows))
        if source.store is not None:
            source.store.tidy()
        totals = run_tasks(
            context,
            _tasks(context, source, plan),
            "embed",
            lambda parts: ShardsEmbedded(parts=parts),
            parts_of=_parts,
        )
        return PoolEmbedded(
            num_images=plan.num_images,
            views=plan.views,
            num_bytes=plan.num_bytes,
            num_shards=plan.num_shards,
            root=context.dataset.root,
            seconds=time.monotonic() - start,
            work_seconds=totals.work_seconds,
        )


def needs_embedding(state: State, config: RunConfig, cycle: int) -> bool:
    """Return whether `cycle` begins with storing the features of a frozen backbone.

    It does so if something reads them afterwards, and often enough for storing them to pay.
    """
    if (
        not config.model.is_frozen
        or state.embedded is not None
        or (cycle >= 0 and state.remaining <= 0)
    ):
        return False
    reads = (
        needs_model(config, cycle) or needs_scores(config, cycle) or needs_features(config, cycle)
    )
    return reads and config.features.store.keeps(num_passes(state, config))


def _tasks(context: Context, source: "FeatureSource", plan: StorePlan) -> list[ShardTask]:
    """Group the shards that are not recorded into tasks of neighbouring shards.

    Tasks are large enough for the journal of a large pool to stay short, and small enough for every
    worker to get some.
    """
    at_once = plan.num_shards // (TASKS_A_WORKER * max(1, context.config.scoring.workers))
    at_once = max(1, min(MOST_SHARDS, at_once))
    tasks: list[ShardTask] = []
    group: list[int] = []
    for shard in range(plan.num_shards + 1):
        is_due = shard < plan.num_shards and shard not in context.state.embedded_shards
        if group and (not is_due or len(group) == at_once):
            tasks.append(_task(context, source, plan, group))
            group = []
        if is_due:
            group.append(shard)
    return tasks


def _task(
    context: Context, source: "FeatureSource", plan: StorePlan, shards: list[int]
) -> ShardTask:
    start, stop = source.shards.numbers(shards[0]).start, source.shards.numbers(shards[-1]).stop
    return ShardTask(
        work="embed",
        shard=shards[0],
        start=start,
        stop=stop,
        images=np.packbits(~context.pool.broken[start:stop]).tobytes(),
        regions=b"",
        cycle=context.state.cycle,
        seed=context.config.seed,
        run_uri=context.storage.root,
        manifest=context.state.created.manifest,
        weights=(),
        output="",
        attempt=context.state.attempt,
        views=plan.views,
    )


def _parts(result: ShardResult) -> list[ShardName]:
    return [
        ShardName(shard=shard, name=name)
        for shard, name in enumerate(result.names, start=result.shard)
    ]

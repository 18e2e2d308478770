"""Store the features of a frozen backbone for the pool, and detect outdated ones."""

import time
from collections.abc import Sequence

import numpy as np

from ray_al.acquisition import find_acquisition
from ray_al.core.config import RunConfig
from ray_al.driver import decide as actions
from ray_al.driver.context import Context, Done
from ray_al.driver.scoring import run_tasks
from ray_al.features.plan import StorePlan, plan_store
from ray_al.features.source import FeatureSource, pool_source
from ray_al.features.store import RecordStore
from ray_al.scoring.shards import ShardResult, ShardTask

TASKS_A_WORKER = 4
"""Minimum number of tasks per worker, if there are enough shards."""
MOST_SHARDS = 16
"""Maximum number of shards per task; if a task fails, the shards that it has written remain."""
MIRROR = "mirror"
"""The transform (acquisition/transforms.py) whose features are stored as a view of their own."""


def embed(context: Context, action: actions.Embed) -> Done:
    """Store the features of the pool, shard by shard, except for shards that are already stored."""
    start, source = time.monotonic(), _source(context)
    plan = plan_of(context.config, source, len(source.rows))
    if source.store is not None:
        source.store.tidy()
    facts = run_tasks(
        context, _tasks(context, source, plan), "embed", "shards_embedded", {}, parts_of=_parts
    )
    return "pool_embedded", {
        "num_images": plan.num_images,
        "views": list(plan.views),
        "num_bytes": plan.num_bytes,
        "num_shards": plan.num_shards,
        "root": context.dataset.root,
        "seconds": time.monotonic() - start,
        "work_seconds": facts["work_seconds"],
    }


def plan_of(config: RunConfig, source: FeatureSource, num_images: int) -> StorePlan:
    """Plan which images and views of a pool of `num_images` the store keeps."""
    store = source.store
    return plan_store(
        limit_bytes=store.limit_bytes if store else 0,
        num_images=num_images,
        shard_size=source.shards.size,
        record_bytes=source.record_bytes,
        needed=[0, source.mirror_view] if asks_for_mirror(config) else [0],
        trained=range(source.num_views),
    )


def asks_for_mirror(config: RunConfig) -> bool:
    """Return whether each pass over the pool looks at the mirrored images too."""
    strategy = config.strategy
    return (
        find_acquisition(strategy.acquisition).inputs == "transforms"
        and MIRROR in strategy.transforms
    )


def drop_outdated(context: Context) -> None:
    """Record which stored shards must be stored again.

    Their files are gone from the store, or some of their images were mended, replaced or moved.
    """
    state = context.state
    source = _source(context) if state.embedded_shards else None
    if source is None or source.store is None:
        return
    plan = plan_of(context.config, source, len(source.rows))
    outdated = _gone(context, source, source.store, plan.views) | _changed(context, source)
    if state.embedded is not None and state.embedded.root != context.dataset.root:
        outdated = set(state.embedded_shards)  # files elsewhere may have other times of change
    grown = state.embedded is not None and plan.num_shards > len(state.embedded_shards)
    if outdated or grown:
        context.append("features_outdated", {"shards": sorted(outdated)})


def _gone(
    context: Context, source: FeatureSource, store: RecordStore, views: Sequence[int]
) -> set[int]:
    """Return the recorded shards of which a file is missing from the store."""
    recorded, gone = context.state.embedded_shards, set[int]()
    for view in views:
        folder = source.folder(view)
        stored = store.names(folder)
        for shard, name in recorded.items():
            if f"{folder}/{name.rpartition('/')[2]}" not in stored:
                gone.add(shard)
    return gone


def _changed(context: Context, source: FeatureSource) -> set[int]:
    """Return shards with images that are or were quarantined and whose files have changed since."""
    recorded = context.state.embedded_shards
    named = [*context.state.quarantined, *context.state.restored]
    shards = {index // source.shards.size for index in context.pool.indices_of(named)}
    return {shard for shard in shards & recorded.keys() if source.name(shard, 0) != recorded[shard]}


def _source(context: Context) -> FeatureSource:
    """Open the driver's view of the store; it computes sizes of maps only and needs no GPU."""
    return pool_source(context.config, context.storage.root, context.pool.manifest)


def _tasks(context: Context, source: FeatureSource, plan: StorePlan) -> list[ShardTask]:
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


def _task(context: Context, source: FeatureSource, plan: StorePlan, shards: list[int]) -> ShardTask:
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
        attempt=context.state.term,
        views=plan.views,
    )


def _parts(result: ShardResult) -> list[dict[str, object]]:
    return [
        {"shard": shard, "name": name}
        for shard, name in enumerate(result.names, start=result.shard)
    ]

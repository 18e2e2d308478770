"""Plan which features of a frozen backbone are stored, and detect outdated ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray_al.core.config import RunConfig
from ray_al.driver.context import Context
from ray_al.features.plan import StorePlan, plan_store
from ray_al.ledger.records import FeaturesOutdated

if TYPE_CHECKING:
    from ray_al.features.source import FeatureSource
    from ray_al.features.store import RecordStore

MIRROR = "mirror"
"""The transform (acquisition/transforms.py) whose features are stored as a view of their own."""


def plan_of(config: RunConfig, source: "FeatureSource", num_images: int) -> StorePlan:
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
    # The functions load PyTorch, which deciding on other actions does not need.
    from ray_al.acquisition import find_acquisition

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
    source = open_source(context) if state.embedded_shards else None
    if source is None or source.store is None:
        return
    plan = plan_of(context.config, source, len(source.rows))
    outdated = _gone(context, source, source.store, plan.views) | _changed(context, source)
    if state.embedded is not None and state.embedded.root != context.dataset.root:
        outdated = set(state.embedded_shards)  # files elsewhere may have other times of change
    grown = state.embedded is not None and plan.num_shards > len(state.embedded_shards)
    if outdated or grown:
        context.append(FeaturesOutdated(shards=tuple(sorted(outdated))))


def _gone(
    context: Context, source: "FeatureSource", store: "RecordStore", views: Sequence[int]
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


def _changed(context: Context, source: "FeatureSource") -> set[int]:
    """Return shards that have changed since they were stored.

    Their images are or were quarantined, and their files have changed, or images were added to them
    when the run was extended.
    """
    recorded = context.state.embedded_shards
    named = [*context.state.quarantined, *context.state.restored]
    indices = context.pool.indices_of(named)
    indices += [
        record.num_images - record.num_added
        for record in context.state.extensions
        if record.num_added
    ]
    shards = {index // source.shards.size for index in indices}
    return {shard for shard in shards & recorded.keys() if source.name(shard, 0) != recorded[shard]}


def open_source(context: Context) -> "FeatureSource":
    """Open the driver's view of the store; it computes sizes of maps only and needs no GPU."""
    # Loads PyTorch, which runs without stored features do not need in the process of the driver.
    from ray_al.features.source import pool_source

    return pool_source(context.config, context.storage.root, context.pool.manifest)

"""Compute the regions of every image."""

import time
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import RunDir
from ray_al.core.types import FileRef
from ray_al.datasets.manifest import relative_places
from ray_al.driver.actions.action import Action
from ray_al.driver.budget import check_budget, whole_budget
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table, table_bytes
from ray_al.driver.pool_pass import make_pass, run_pass
from ray_al.driver.quarantine import NO_REGIONS
from ray_al.ledger import State
from ray_al.ledger.records import ImagesSegmented, RegionsComputed, ShardFile


@dataclass(frozen=True)
class Segment(Action):
    """Compute the regions of every image, for kinds of regions that depend on its content."""

    leads_to_training = True

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Segment before anything is chosen, if the kind of regions needs the images."""
        return cls() if config.regions.needs_maps and state.maps is None else None

    def perform(self, context: Context) -> RegionsComputed:
        """Compute the regions, then the manifest and the budget from their number."""
        start, pool, state = time.monotonic(), context.pool, context.state
        first, done = state.num_mapped or 0, set(state.map_parts)
        shared = _shared_shard(context, first)
        done.discard(shared)
        tasks = make_pass(
            context,
            "maps",
            0,
            images=~pool.broken & (np.arange(len(pool.manifest)) >= first),
            regions_of=lambda start, stop: b"",
            done=done,
            output=RunDir.MAPS,
        )
        run_pass(
            context,
            tasks,
            "segment",
            lambda parts: ImagesSegmented(parts=_with_earlier(context, parts, shared, first)),
            note_on_broken=NO_REGIONS,
        )
        manifest = _counted(context)
        stored = table_bytes(relative_places(manifest, context.dataset.root))
        ref = context.storage.put(RunDir.MAPS_MANIFEST, stored, attempt=context.state.attempt)
        num_regions = sum(manifest.column("num_regions").to_pylist())
        amount = state.amount
        if not state.extensions:
            sizes = replace(state.created.sizes, num_regions=num_regions)
            amount = whole_budget(context.config.budget, sizes)
            check_budget(context.config, sizes, manifest, context.dataset.num_classes)
        return RegionsComputed(
            manifest=ref,
            num_regions=num_regions,
            amount=amount,
            seconds=time.monotonic() - start,
        )

    def after(self, context: Context) -> None:
        """Build the pool anew from the manifest that now has the numbers of regions."""
        context.reload()


def _shared_shard(context: Context, first: int) -> int:
    """Return the shard that has images with regions and images that were added; -1 if none has.

    Args:
        first: number of the first image that was added.
    """
    size = context.config.shard_size(len(context.pool.manifest))
    return first // size if first % size else -1


def _with_earlier(
    context: Context, parts: tuple[ShardFile, ...], shared: int, first: int
) -> tuple[ShardFile, ...]:
    """Put the maps of earlier images, which never change, before those of added ones.

    Args:
        shared: the only shard that has both.
        first: number of the first image that was added.
    """
    earlier = context.state.map_parts.get(shared)
    return tuple(
        _joined(context, earlier, part, first) if part.shard == shared and earlier else part
        for part in parts
    )


def _joined(context: Context, earlier: FileRef, part: ShardFile, first: int) -> ShardFile:
    known = read_table(context.storage, earlier)
    tables = [known.filter(pc.less(known.column("image_index"), first))]
    if part.file is not None:
        tables.append(read_table(context.storage, part.file))
    table = pa.concat_tables(tables)
    name = f"{RunDir.MAPS}/joined/{len(context.pool.manifest):09d}.parquet"
    ref = context.storage.put(name, table_bytes(table), attempt=context.state.attempt)
    return ShardFile(shard=part.shard, file=ref, num_rows=len(table))


def _counted(context: Context) -> pa.Table:
    """Return the manifest with the number of regions of each image."""
    manifest = context.pool.manifest
    counts = np.zeros(len(manifest), dtype=np.int32)
    for ref in context.state.map_parts.values():
        if ref is not None:
            table = read_table(context.storage, ref, ["image_index", "num_regions"])
            counts[table.column("image_index").to_numpy()] = table.column("num_regions").to_numpy()
    index = manifest.schema.get_field_index("num_regions")
    return manifest.set_column(index, "num_regions", pa.array(counts, pa.int32()))

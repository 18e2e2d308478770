"""Compute the regions of every image."""

import time
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import RunDir
from ray_al.datasets.manifest import relative_places
from ray_al.driver.actions.action import Action
from ray_al.driver.budget import check_budget, total_amount
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table, table_bytes
from ray_al.driver.pool_pass import make_pass, run_pass
from ray_al.driver.quarantine import NO_REGIONS
from ray_al.ledger import State
from ray_al.ledger.records import ImagesSegmented, RegionsComputed


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
        start, pool = time.monotonic(), context.pool
        tasks = make_pass(
            context,
            "maps",
            0,
            images=~pool.broken,
            regions_of=lambda start, stop: b"",
            done=context.state.map_parts.keys(),
            output=RunDir.MAPS,
        )
        run_pass(
            context,
            tasks,
            "segment",
            lambda parts: ImagesSegmented(parts=parts),
            note_on_broken=NO_REGIONS,
        )
        manifest = _counted(context)
        stored = table_bytes(relative_places(manifest, context.dataset.root))
        ref = context.storage.put(RunDir.MAPS_MANIFEST, stored, attempt=context.state.term)
        num_regions = sum(manifest.column("num_regions").to_pylist())
        sizes = {**context.state.created.sizes, "num_regions": num_regions}
        amount = total_amount(context.config.budget, sizes)
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

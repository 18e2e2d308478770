"""Find out which images came to the pool of a run, and which left it."""

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile, Refusal
from ray_al.datasets import Dataset
from ray_al.datasets.catalog import data_root
from ray_al.datasets.images import read_image_size
from ray_al.datasets.manifest import (
    absolute_places,
    build_manifest,
    images_digest,
    pool_images,
    relative_places,
)
from ray_al.driver.actions.action import open_query
from ray_al.driver.checks import too_small
from ray_al.driver.context import check_quarantine
from ray_al.driver.pool import read_table
from ray_al.driver.quarantine import NO_REGIONS
from ray_al.ledger import State
from ray_al.ledger.records import BrokenImage

THREADS = 8
GONE = "; it left the pool by `ray-al extend`, and its labels are not trained on until it is back"
"""Ends the error of a labelled image whose file is no longer there; the journal records it."""


@dataclass(frozen=True, kw_only=True)
class PoolChange:
    """The images of the data set that a run does not have yet, and its images that are not there.

    Attributes:
        manifest: MANIFEST_SCHEMA with places below the root left out; all earlier rows come first.
        num_added: number of rows at its end that are new.
        broken: new images that cannot be used.
        removed: names of images that leave the pool.
        gone: those of them whose files cannot be read.
        returned: names of images that come back.
    """

    manifest: pa.Table
    num_added: int = 0
    broken: tuple[BrokenImage, ...] = ()
    removed: tuple[str, ...] = ()
    gone: tuple[BrokenImage, ...] = ()
    returned: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.num_added or self.removed or self.returned)

    @property
    def num_masked(self) -> int:
        """The number of new images that have a mask."""
        masks = self.manifest.column("mask_uri")
        new = masks.slice(len(masks) - self.num_added)
        return self.num_added - int(new.null_count)

    @property
    def added(self) -> list[str]:
        """The names of the new images."""
        names = self.manifest.column("image_id")
        new: list[str] = names[len(names) - self.num_added :].to_pylist()
        return new

    def digest(self, state: State) -> str:
        """Return the digest of the images that are in the pool afterwards."""
        out = (state.removed | set(self.removed)) - set(self.returned)
        names = self.manifest.column("image_id")
        is_in = pc.invert(pc.is_in(names, value_set=pa.array(sorted(out), pa.string())))
        return images_digest(self.manifest.filter(is_in))


def find_changes(
    storage: Storage, state: State, config: RunConfig, dataset: Dataset, *, moved: bool
) -> PoolChange:
    """Compare the pool of a run with the images of its data set.

    Args:
        config: the configuration that will hold.
        dataset: the data set as it is now, below the root that will hold.
        moved: whether that is another root; the sizes of all images are compared then.

    Raises:
        ConfigError: none of the images is there, or one has another size than before.
        RayALError: too many new images cannot be used.
    """
    manifest = read_table(storage, state.created.manifest)
    listed = {image.image_id: image for image in pool_images(dataset, config.data)}
    known = manifest.column("image_id").to_pylist()
    missing = [name for name in known if name not in listed and name not in state.removed]
    if len(missing) == len(known) - len(state.removed):
        raise ConfigError(
            f"data.root {dataset.root!r}: none of the {len(known)} images of the run's pool is "
            f"there, such as {missing[0]!r}; give the folder of the run's own data with "
            "--set data.root=FOLDER"
        )
    returned = [name for name in known if name in state.removed and name in listed]
    in_both = set(known) & listed.keys() if moved else set(returned)
    _check_sizes(manifest, in_both, listed, dataset)
    new = [image for name, image in listed.items() if name not in set(known)]
    rows, broken = _new_rows(new, config, dataset)
    _check_usable(state, config, broken, len(known) + len(new), storage.root)
    present = absolute_places(manifest, data_root(config.data))
    gone = _unreadable(present, set(missing), dataset)
    return PoolChange(
        manifest=_joined(present, rows, dataset.root),
        num_added=len(rows),
        broken=broken,
        removed=tuple(missing),
        gone=gone,
        returned=tuple(returned),
    )


def _check_sizes(
    manifest: pa.Table, names: Set[str], listed: Mapping[str, ImageFile], dataset: Dataset
) -> None:
    """Refuse images of another size than before: they are other images."""
    rows = manifest.select(["image_id", "height", "width"]).to_pylist()
    before = {row["image_id"]: row for row in rows if row["image_id"] in names and row["height"]}
    there, _ = build_manifest(
        [listed[name] for name in before], lambda height, width: 0, dataset.pixels
    )
    for row in there.to_pylist():
        then = before[row["image_id"]]
        if row["height"] and (row["height"], row["width"]) != (then["height"], then["width"]):
            raise ConfigError(
                f"data.root {dataset.root!r}: {row['image_id']} has {row['height']}x{row['width']} "
                f"pixels, in the run {then['height']}x{then['width']}; give another image another "
                "name"
            )


def _new_rows(
    new: Sequence[ImageFile], config: RunConfig, dataset: Dataset
) -> tuple[pa.Table, tuple[BrokenImage, ...]]:
    rows, unreadable = build_manifest(new, config.regions.num_regions, dataset.pixels)
    errors = dict(unreadable)
    errors.update(too_small(config, rows, errors))
    return rows, tuple(
        BrokenImage(image_id=name, error=error + NO_REGIONS) for name, error in errors.items()
    )


def _check_usable(
    state: State,
    config: RunConfig,
    broken: Sequence[BrokenImage],
    num_images: int,
    run_uri: str,
) -> None:
    """Refuse new images of which too many cannot be used."""
    known = {name: why for name, why in state.quarantined.items() if name not in state.removed}
    if broken:
        new = {image.image_id: image.error for image in broken}
        check_quarantine({**known, **new}, config, num_images, run_uri=run_uri)


def _unreadable(manifest: pa.Table, names: Set[str], dataset: Dataset) -> tuple[BrokenImage, ...]:
    """Return the images that are listed no more and that cannot be opened either."""

    def error_of(row: Mapping[str, Any]) -> str | None:
        try:
            read_image_size(row["uri"], dataset.pixels)
        except DataError as error:
            return str(error)
        return None

    rows = [
        row for row in manifest.select(["image_id", "uri"]).to_pylist() if row["image_id"] in names
    ]
    with ThreadPoolExecutor(THREADS) as executor:
        errors = list(executor.map(error_of, rows))
    return tuple(
        BrokenImage(image_id=row["image_id"], error=error + GONE)
        for row, error in zip(rows, errors, strict=True)
        if error is not None
    )


def _joined(earlier: pa.Table, rows: pa.Table, root: str) -> pa.Table:
    """Append new rows, with the numbers that follow, to a manifest with whole places."""
    numbers = pa.array(np.arange(len(earlier), len(earlier) + len(rows)), pa.int64())
    rows = rows.set_column(0, rows.schema.field("image_index"), numbers)
    return relative_places(pa.concat_tables([earlier, rows]).combine_chunks(), root)


def refused_regions(storage: Storage, state: State, removed: Set[str]) -> tuple[Refusal, ...]:
    """Return a final refusal of each unanswered region of the open query whose image left.

    Nobody needs to answer them.
    """
    query = open_query(state)
    if query is None or not removed:
        return ()
    done = {refusal.name for refusal in state.refused if refusal.final}
    for ref in state.label_parts:
        part = read_table(storage, ref, ["image_id", "region"]).to_pydict()
        done.update(zip(part["image_id"], part["region"], strict=True))
    asked = read_table(storage, query.file, ["image_id", "region"]).to_pydict()
    return tuple(
        Refusal(
            image_id=name,
            region=region,
            reason="the image left the pool by `ray-al extend`",
            final=True,
        )
        for name, region in zip(asked["image_id"], asked["region"], strict=True)
        if name in removed and (name, region) not in done
    )

"""Quarantine broken images, and take mended ones back when a host starts."""

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.types import Refusal
from ray_al.datasets.images import read_pool_image
from ray_al.datasets.pixels import PixelRule
from ray_al.datasets.tiles import file_of
from ray_al.driver.context import Context
from ray_al.driver.pool import Pool
from ray_al.ledger.records import BrokenImage, ImagesRestored

THREADS = 8
NO_REGIONS = (
    "; it has no regions in this run, which goes on without it; "
    "a new run takes it once it is mended"
)
"""Ends the error of an image that cannot come back to its run; it is recorded in the journal."""


def begin_session(context: Context) -> None:
    """Take mended images back, and stop if too many images still cannot be used.

    Raises:
        ReadError: an image could not be read just now.
        RayALError: more are quarantined than `scoring.max_quarantined` allows.
    """
    waiting = [
        index
        for index in context.pool.indices_of(list(context.state.quarantined))
        if _has_regions(context, index)
    ]
    mended = []
    # A pool of millions may have thousands of broken images: they are read in parallel, and each
    # note shows the progress and ends the run if somebody asked for that.
    executor = ThreadPoolExecutor(THREADS)
    try:
        errors = executor.map(lambda index: look(context.pool, index), waiting)
        for number, (index, error) in enumerate(zip(waiting, errors, strict=True)):
            context.note("quarantine", number, len(waiting))
            if error is None:
                mended.append(context.pool.manifest.column("image_id")[index].as_py())
    finally:
        executor.shutdown(cancel_futures=True)
    if mended:
        context.append(ImagesRestored(images=tuple(mended)))
        context.reload()
    context.check_quarantine()


def look(pool: Pool, index: int) -> str | None:
    """Read an image of the pool and return what is wrong with it; None if it can be used."""
    uri, *size = (pool.manifest.column(name)[index].as_py() for name in ("uri", "height", "width"))
    try:
        read_pool_image(uri, (size[0], size[1]), PixelRule.of(pool.config.data))
    except DataError as error:
        return str(error)
    return None


def _has_regions(context: Context, index: int) -> bool:
    """Return whether an image has regions to come back with.

    It has none if its size was unknown when the run was created, or if it has no region map.
    """
    pool, state = context.pool, context.state
    if pool.kind.needs_maps and state.maps is None:
        shard = index // context.config.shard_size(len(pool.manifest))
        return bool(pool.manifest.column("height")[index].as_py()) and shard not in state.map_parts
    return bool(pool.num_regions[index])


class Looks:
    """Looks at images of the pool in any order, and decodes each file with tiles once.

    Regions are chosen in an order that has nothing to do with files. As soon as one tile is looked
    at, so are all others of its file, and what is wrong with them is kept.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._errors: dict[int, str | None] = {}

    def __call__(self, index: int) -> str | None:
        """Return what is wrong with an image; see `look`."""
        if self._pool.config.data.tile is None:
            return look(self._pool, index)
        if index not in self._errors:
            for other in self._tiles[file_of(self._pool.manifest.column("uri")[index].as_py())]:
                self._errors[other] = look(self._pool, other)
        return self._errors[index]

    @functools.cached_property
    def _tiles(self) -> dict[str, list[int]]:
        """The numbers of the tiles of each file."""
        tiles: dict[str, list[int]] = {}
        for index, uri in enumerate(self._pool.manifest.column("uri").to_pylist()):
            tiles.setdefault(file_of(uri), []).append(index)
        return tiles


def quarantine_broken(context: Context, indices: Iterable[int], looks: Looks) -> None:
    """Open images that no scorer has opened, and quarantine the broken ones."""
    broken: list[BrokenImage] = []
    for index in indices:
        error = None if context.pool.broken[index] else looks(index)
        if error is not None:
            image_id = context.pool.manifest.column("image_id")[index].as_py()
            broken.append(BrokenImage(image_id=image_id, error=error))
    if broken:
        context.quarantine(broken)


def unchanged_since_stored(context: Context) -> Callable[[int], bool]:
    """Return a test of whether an image's file is the one whose features were stored.

    Such an image need not be opened.
    """
    recorded = context.state.embedded_shards
    if not recorded:
        return lambda index: False
    # Loads PyTorch, which runs without stored features do not need in the process of the driver.
    from ray_al.features.source import pool_source

    shards = pool_source(context.config, context.storage.root, context.pool.manifest).shards

    def is_unchanged(index: int) -> bool:
        shard = index // shards.size
        return shard in recorded and recorded[shard].rpartition("/")[2] == shards.digest(shard)

    return is_unchanged


def refuse_broken(context: Context, query: pa.Table) -> tuple[Refusal, ...]:
    """Return a final refusal of each region of a query whose image cannot be used.

    Nobody labels regions that cannot be trained on.
    """
    broken = context.pool.broken[query.column("image_index").to_numpy()]
    rows = query.filter(pa.array(broken)).select(["image_id", "region"]).to_pylist()
    return tuple(
        Refusal(
            image_id=row["image_id"],
            region=row["region"],
            reason=f"the image is left out: {context.state.quarantined[row['image_id']]}",
            final=True,
        )
        for row in rows
    )

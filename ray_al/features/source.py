"""Reading features for training and scoring: from memory, from the store, or computed."""

import functools
import hashlib
import logging
import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ReadError, StorageError
from ray_al.datasets import Dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_seen
from ray_al.datasets.pixels import PixelRule
from ray_al.features.embed import Embedder, load_embedder
from ray_al.features.fill import fill_shard
from ray_al.features.geometry import ViewDraw
from ray_al.features.layout import MapLayout
from ray_al.features.shards import COLUMNS, Row, Shards, shard_size
from ray_al.features.store import RecordStore

logger = logging.getLogger(__name__)
POOL = "pool"
WHOLE_SHARDS = 2
"""Number of whole shards kept in memory in addition to the cache if the store is not near."""


class FeatureSource:
    """Gives the records of the images of one split. Any number of threads may share it.

    View 0 is the image itself, and view n is the n-th of `features.views`. If none of these is the
    mirrored image, the mirrored image is an additional view that `num_views` does not count.

    Args:
        config: configuration of the run; `model.frozen` must be true.
        run_uri: path or URI of the run directory.
        split: `pool`, or a split of the data set.
        rows: all images of the split, in the order of their numbers.
        device: device that computes what is not stored.
    """

    def __init__(
        self,
        config: RunConfig,
        run_uri: str,
        split: str,
        rows: Sequence[Row] | pa.Table,
        device: str = "cpu",
    ) -> None:
        self.config = config
        self.run_uri = run_uri
        self.split = split
        self.rows = rows
        self.device = device
        self.store: RecordStore | None = config.features.store.open(run_uri)
        self._cache = ByteCache.of_process(int(config.data.cache_gb * 2**30))
        self._lock = threading.Lock()
        self._whole: dict[str, list[np.ndarray | None]] = {}
        self._folders: dict[int, str] = {}
        self._failed = False

    @property
    def layout(self) -> MapLayout:
        """The layout of the maps in a record."""
        return self.embedder.layout

    @property
    def record_bytes(self) -> int:
        """Size of a record in bytes."""
        return 2 * self.layout.num_values

    @property
    def num_views(self) -> int:
        """Number of views that are trained on, the image itself included."""
        return 1 + len(self.config.features.views)

    @functools.cached_property
    def mirror_view(self) -> int:
        """Number of the view that is the mirrored image."""
        mirrored = ViewDraw(size=self.config.data.image_size, mirror=True)
        views = enumerate(self.config.features.views, start=1)
        numbers = (number for number, view in views if view.draw("", mirrored.size) == mirrored)
        return next(numbers, self.num_views)

    @functools.cached_property
    def embedder(self) -> Embedder:
        """The embedder that computes records, loaded on first use."""
        return load_embedder(self.config.model_dump_json(), self.device)

    @functools.cached_property
    def shards(self) -> Shards:
        """The grouping of the images into shards."""
        return Shards(self.config, self.rows, shard_size(self.record_bytes))

    def draw(self, number: int, view: int) -> ViewDraw:
        """Return the change of the image `number` that makes its view `view`."""
        size = self.config.data.image_size
        if view == 0:
            return ViewDraw(size=size)
        if view == self.num_views:
            return ViewDraw(size=size, mirror=True)
        drawn: ViewDraw = self.config.features.views[view - 1].draw(
            f"{view}/{self.shards.row(number)['image_id']}", size
        )
        return drawn

    def records(self, numbers: Sequence[int], view: int) -> np.ndarray:
        """Return the records of one view of N images.

        Args:
            numbers: numbers of the images; repetitions are allowed.
            view: number of the view.

        Returns:
            uint16 (N, num_values).

        Raises:
            DataError: an image cannot be used.
            ReadError: an image or a shard cannot be read at the moment.
        """
        found = self._cached(numbers, view)
        for look in (self._stored, self._computed):
            missing = [number for number in dict.fromkeys(numbers) if number not in found]
            found |= look(missing, view) if missing else {}
        return np.stack([found[number] for number in numbers])

    def image(self, number: int) -> np.ndarray:
        """Read what the network sees of an image: it is resized to `data.image_size`, or a tile.

        Returns:
            uint8 or float32 (H, W, C), from 0 to 255.

        Raises:
            DataError: the image cannot be used.
            ReadError: the image cannot be read at the moment.
        """
        row, data = self.shards.row(number), self.config.data
        height, width = row.get("height"), row.get("width")
        size = None if height is None or width is None else (height, width)
        return read_seen(row["uri"], data.image_size, PixelRule.of(data), size)

    def folder(self, view: int) -> str:
        """Return the folder of a view in the store, a digest of all settings that determine it."""
        if view not in self._folders:
            drawn = "itself" if view == 0 else "mirrored"
            if 0 < view < self.num_views:
                drawn = f"{view} {self.config.features.views[view - 1].model_dump_json()}"
            digest = hashlib.sha256(f"{self.embedder.digest} {drawn}".encode())
            self._folders[view] = digest.hexdigest()[:32]
        return self._folders[view]

    def name(self, shard: int, view: int) -> str:
        """Return the name of a shard in the store."""
        return f"{self.folder(view)}/{self.shards.digest(shard)}"

    def _cached(self, numbers: Sequence[int], view: int) -> dict[int, np.ndarray]:
        with self._lock:
            found = {number: self._cache.get((number, view)) for number in numbers}
        return {number: record for number, record in found.items() if record is not None}

    def _put_in_cache(self, records: dict[int, np.ndarray], view: int) -> dict[int, np.ndarray]:
        with self._lock:
            for number, record in records.items():
                self._cache.put((number, view), record)
        return records

    def _computed(self, numbers: Sequence[int], view: int) -> dict[int, np.ndarray]:
        images = [self.draw(number, view).apply(self.image(number)) for number in numbers]
        records = dict(zip(numbers, self.embedder.records(images), strict=True))
        return self._put_in_cache(records, view)

    def _stored(self, numbers: Sequence[int], view: int) -> dict[int, np.ndarray]:
        """Return the records of those `numbers` that the store has."""
        if self.store is None:
            return {}
        members_by_shard: dict[int, list[int]] = {}
        for number in numbers:
            members_by_shard.setdefault(number // self.shards.size, []).append(number)
        found: dict[int, np.ndarray] = {}
        for shard, members in members_by_shard.items():
            found |= self._read_shard(self.store, shard, members, view)
        return found

    def _read_shard(
        self, store: RecordStore, shard: int, members: list[int], view: int
    ) -> dict[int, np.ndarray]:
        """Return the stored records of `members`; a missing shard is computed if that pays."""
        name, every = self.name(shard, view), self.shards.numbers(shard)
        wanted = members if store.is_near else every
        records = self._whole.get(name) or store.read(
            name, [number - every.start for number in wanted], self.layout.num_values
        )
        if records is None:
            return self._fill(store, shard, members, view)
        found = _usable(wanted, records)
        if not store.is_near:
            self._put_in_cache(found, view)
            with self._lock:
                self._whole = dict([*self._whole.items(), (name, records)][-WHOLE_SHARDS:])
        return {number: found[number] for number in members if number in found}

    def _fill(
        self, store: RecordStore, shard: int, members: list[int], view: int
    ) -> dict[int, np.ndarray]:
        """Compute and store a missing shard, and return the records of `members`.

        The pool has its own stage that fills the store. Other splits have none; they are small, and
        evaluation reads them as a whole.
        """
        fits = len(self.rows) * self.record_bytes <= store.limit_bytes
        rounds_alike = self.embedder.device.type == self.embedder.stored_device
        if self.split == POOL or self._failed or not fits or not rounds_alike:
            return {}
        try:
            fill_shard(self, store, shard, [view])
        except ReadError:
            raise
        except StorageError as error:
            logger.warning("features of %s are not stored: %s", self.split, error)
            self._failed = True
            return {}
        first = self.shards.numbers(shard).start
        records = store.read(
            self.name(shard, view), [number - first for number in members], self.layout.num_values
        )
        return {} if records is None else _usable(members, records)


def _usable(numbers: Sequence[int], records: Sequence[np.ndarray | None]) -> dict[int, np.ndarray]:
    """Return the records of usable images by their numbers."""
    pairs = zip(numbers, records, strict=True)
    return {number: record for number, record in pairs if record is not None}


def pool_source(
    config: RunConfig, run_uri: str, manifest: pa.Table, device: str = "cpu"
) -> FeatureSource:
    """Open the features of the pool.

    Args:
        config: configuration of the run.
        run_uri: path or URI of the run directory.
        manifest: manifest of the pool with absolute places (`absolute_places`); its numbers are the
            numbers of the images.
        device: device that computes what is not stored.
    """
    return FeatureSource(config, run_uri, POOL, manifest.select(list(COLUMNS)), device)


def split_source(
    config: RunConfig, run_uri: str, dataset: Dataset, split: str, device: str = "cpu"
) -> FeatureSource:
    """Open the features of another split; numbers are positions in `dataset.splits[split]`."""
    rows = [Row(image_id=file.image_id, uri=file.uri) for file in dataset.splits[split]]
    return FeatureSource(config, run_uri, split, rows, device)

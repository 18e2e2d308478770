"""Where training and scoring get features: from memory, the store, or the backbone."""

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
from ray_al.datasets.images import read_image, read_pool_image, resize_image
from ray_al.features.embed import Embedder, load_embedder
from ray_al.features.fill import fill_shard
from ray_al.features.geometry import ViewDraw
from ray_al.features.layout import MapLayout
from ray_al.features.shards import COLUMNS, Row, Shards, shard_size
from ray_al.features.store import RecordStore

logger = logging.getLogger(__name__)
POOL = "pool"
WHOLE_SHARDS = 2
"""Shards kept beside the cache, however small that is, where shards are read as a whole."""


class FeatureSource:
    """Records of the images of one split; any number of threads may share it.

    View 0 is the image itself, view n the n-th of `features.views`. Where none of these is the
    mirrored image, that is one more view, which `num_views` does not count.

    Args:
        config: of the run; its model is frozen.
        run_uri: the run directory.
        split: `pool`, or a split of the data set.
        rows: all images of the split, in the order of their numbers.
        device: where to compute what is not stored.
    """

    def __init__(
        self,
        config: RunConfig,
        run_uri: str,
        split: str,
        rows: Sequence[Row] | pa.Table,
        device: str = "cpu",
    ) -> None:
        self.config, self.run_uri, self.split, self.rows, self.device = (
            config,
            run_uri,
            split,
            rows,
            device,
        )
        self.store: RecordStore | None = config.features.store.open(run_uri)
        self._cache = ByteCache(int(config.data.cache_gb * 2**30))
        self._lock = threading.Lock()
        self._whole: dict[str, list[np.ndarray | None]] = {}
        self._folders: dict[int, str] = {}
        self._failed = False

    @property
    def layout(self) -> MapLayout:
        """How maps lie in a record."""
        return self.embedder.layout

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""
        return 2 * self.layout.num_values

    @property
    def num_views(self) -> int:
        """Views of an image that are trained on, the image itself among them."""
        return 1 + len(self.config.features.views)

    @functools.cached_property
    def mirror_view(self) -> int:
        """The number of the view that is the mirrored image."""
        mirrored = ViewDraw(size=self.config.data.image_size, mirror=True)
        views = enumerate(self.config.features.views, start=1)
        return next(
            (n for n, view in views if view.draw("", mirrored.size) == mirrored), self.num_views
        )

    @functools.cached_property
    def embedder(self) -> Embedder:
        """What computes records; made when it is first needed."""
        return load_embedder(self.config.model_dump_json(), self.device)

    @functools.cached_property
    def shards(self) -> Shards:
        """Which images are stored together."""
        return Shards(self.config, self.rows, shard_size(self.record_bytes))

    def draw(self, number: int, view: int) -> ViewDraw:
        """How view `view` of image `number` was made."""
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
        """uint16 (N, num_values) of view `view` of images by their numbers.

        Raises:
            DataError: an image cannot be used.
            ReadError: it could not be read just now.
        """
        found = self._cached(numbers, view)
        for look in (self._stored, self._computed):
            missing = [number for number in dict.fromkeys(numbers) if number not in found]
            found |= look(missing, view) if missing else {}
        return np.stack([found[number] for number in numbers])

    def image(self, number: int) -> np.ndarray:
        """uint8 (H, W, 3) at `data.image_size`.

        Raises:
            DataError: it cannot be used.
            ReadError: it could not be read just now.
        """
        row = self.shards.row(number)
        pooled = row.get("height") is not None
        read = (
            read_pool_image(row["uri"], (row["height"], row["width"]))
            if pooled
            else read_image(row["uri"])
        )
        return resize_image(read, self.config.data.image_size)

    def folder(self, view: int) -> str:
        """Where the store has a view: named by all that its records follow from, beside the images."""
        if view not in self._folders:
            drawn = "itself" if view == 0 else "mirrored"
            if 0 < view < self.num_views:
                drawn = f"{view} {self.config.features.views[view - 1].model_dump_json()}"
            digest = hashlib.sha256(f"{self.embedder.digest} {drawn}".encode())
            self._folders[view] = digest.hexdigest()[:32]
        return self._folders[view]

    def name(self, shard: int, view: int) -> str:
        """What the store calls a shard."""
        return f"{self.folder(view)}/{self.shards.digest(shard)}"

    def _cached(self, numbers: Sequence[int], view: int) -> dict[int, np.ndarray]:
        with self._lock:
            found = {number: self._cache.get((number, view)) for number in numbers}
        return {number: record for number, record in found.items() if record is not None}

    def _keep(self, records: dict[int, np.ndarray], view: int) -> dict[int, np.ndarray]:
        with self._lock:
            for number, record in records.items():
                self._cache.put((number, view), record)
        return records

    def _computed(self, numbers: Sequence[int], view: int) -> dict[int, np.ndarray]:
        images = [self.draw(number, view).apply(self.image(number)) for number in numbers]
        return self._keep(dict(zip(numbers, self.embedder.records(images), strict=True)), view)

    def _stored(self, numbers: Sequence[int], view: int) -> dict[int, np.ndarray]:
        """What the store has of `numbers`."""
        found: dict[int, np.ndarray] = {}
        if self.store is not None:
            groups: dict[int, list[int]] = {}
            for number in numbers:
                groups.setdefault(number // self.shards.size, []).append(number)
            for shard, members in groups.items():
                found |= self._of_shard(self.store, shard, members, view)
        return found

    def _of_shard(
        self, store: RecordStore, shard: int, members: list[int], view: int
    ) -> dict[int, np.ndarray]:
        name, every = self.name(shard, view), self.shards.numbers(shard)
        wanted = members if store.is_near else every
        records = self._whole.get(name) or store.read(
            name, [number - every.start for number in wanted], self.layout.num_values
        )
        if records is None:
            return self._fill(store, shard, members, view)
        found = {
            number: record
            for number, record in zip(wanted, records, strict=True)
            if record is not None
        }
        if not store.is_near:
            self._keep(found, view)
            with self._lock:
                self._whole = dict([*self._whole.items(), (name, records)][-WHOLE_SHARDS:])
        return {number: found[number] for number in members if number in found}

    def _fill(
        self, store: RecordStore, shard: int, members: list[int], view: int
    ) -> dict[int, np.ndarray]:
        """What was not stored and is now.

        A split beside the pool has no stage that fills the store, and is read as a whole by whoever
        evaluates on it.
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
            logger.warning("features of %s are not kept: %s", self.split, error)
            self._failed = True
            return {}
        rows = self.shards.numbers(shard)
        records = store.read(
            self.name(shard, view),
            [number - rows.start for number in members],
            self.layout.num_values,
        )
        return {
            number: record
            for number, record in zip(members, records or [], strict=bool(records))
            if record is not None
        }


def pool_source(
    config: RunConfig, run_uri: str, manifest: pa.Table, device: str = "cpu"
) -> FeatureSource:
    """Of the pool; numbers are those of the manifest, whose places are whole (`absolute_places`)."""
    return FeatureSource(config, run_uri, POOL, manifest.select(list(COLUMNS)), device)


def split_source(
    config: RunConfig, run_uri: str, dataset: Dataset, split: str, device: str = "cpu"
) -> FeatureSource:
    """Of another split of the data set; numbers are positions in `dataset.splits[split]`."""
    rows = [{"image_id": file.image_id, "uri": file.uri} for file in dataset.splits[split]]
    return FeatureSource(config, run_uri, split, rows, device)

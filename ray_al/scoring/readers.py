"""Read the images of a shard for a scorer: decoded, or as features of a frozen backbone."""

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError
from ray_al.core.types import FileRef
from ray_al.datasets.catalog import data_root
from ray_al.datasets.manifest import absolute_places
from ray_al.features.source import FeatureSource, pool_source
from ray_al.scoring.decode import decode
from ray_al.scoring.inputs import Features, ImageInputs, InputFormat, Inputs
from ray_al.scoring.shards import ShardTask, read_manifest


class HasRow(Protocol):
    """An image of a shard with its row of the manifest."""

    @property
    def row(self) -> Mapping[str, Any]:
        """The row, with `image_index`, `uri`, `image_id`, `height` and `width`."""


Item = TypeVar("Item")


class Reader(ABC, Generic[Item]):
    """Reads single images, and makes batches of them.

    Attributes:
        threads: how many threads may read at a time.
        group: how many images are best read together.
    """

    threads: int
    group: int

    @abstractmethod
    def read(self, images: Sequence[HasRow]) -> list[Item | DataError]:
        """Read each image; an error in its place says why it cannot be used.

        Raises:
            ReadError: an image cannot be read at the moment.
        """

    @abstractmethod
    def batch(self, items: Sequence[Item]) -> Inputs:
        """Return items as the input of a network."""


class PixelReader(Reader[np.ndarray]):
    """Decodes images: uint8 (H, W, 3) at `data.image_size`."""

    group = 1

    def __init__(self, config: RunConfig, form: InputFormat) -> None:
        self.config, self.form, self.threads = config, form, config.scoring.threads

    def read(self, images: Sequence[HasRow]) -> list[np.ndarray | DataError]:
        """Decode each image; see `Reader.read`."""
        return [self._one(image) for image in images]

    def _one(self, image: HasRow) -> np.ndarray | DataError:
        try:
            return decode(image.row, self.config)
        except DataError as error:
            return error

    def batch(self, items: Sequence[np.ndarray]) -> ImageInputs:
        """Return decoded images as the input of a network."""
        return ImageInputs(np.stack(list(items)), self.config.data.normalize, self.form)


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one image.

    Attributes:
        record: of the image as it is.
        views: records of transformed images, by the transform's name.
        pixels: uint8 (H, W, 3), if a transform needs them.
    """

    record: np.ndarray
    views: Mapping[str, np.ndarray]
    pixels: np.ndarray | None


class FeatureReader(Reader[ImageFeatures]):
    """Reads stored features, and images only for transforms without a stored view.

    Args:
        config: of the run; its model is frozen.
        form: how the head wants maps.
        source: of the pool's features.
        transforms: names of those that the scorer needs.
    """

    def __init__(
        self, config: RunConfig, form: InputFormat, source: FeatureSource, transforms: Sequence[str]
    ) -> None:
        self.config, self.form, self.source = config, form, source
        self.threads, self.group = config.scoring.threads, config.features.batch_size
        self.layout = source.layout
        known = {"mirror": source.mirror_view}
        self.views = {name: known[name] for name in transforms if name in known}
        rest = [name for name in transforms if name not in known]
        self.pixels = PixelReader(config, form) if rest else None

    def read(self, images: Sequence[HasRow]) -> list[ImageFeatures | DataError]:
        """Read the features of each image; see `Reader.read`."""
        try:
            return list(self._read(images))
        except DataError as error:
            if len(images) == 1:
                return [error]
        # One of them is broken: read alone, the others are not lost with it.
        return list(itertools.chain.from_iterable(self.read([image]) for image in images))

    def _read(self, images: Sequence[HasRow]) -> list[ImageFeatures]:
        numbers = [image.row["image_index"] for image in images]
        records = self.source.records(numbers, 0)
        views = {name: self.source.records(numbers, view) for name, view in self.views.items()}
        read = []
        for position, image in enumerate(images):
            own_views = {name: rows[position] for name, rows in views.items()}
            pixels = None if self.pixels is None else decode(image.row, self.config)
            read.append(ImageFeatures(record=records[position], views=own_views, pixels=pixels))
        return read

    def batch(self, items: Sequence[ImageFeatures]) -> Features:
        """Return features as the input of a head."""
        pixels = [item.pixels for item in items if item.pixels is not None]
        return Features(
            [item.record for item in items],
            self.layout,
            self.form,
            views={name: [item.views[name] for item in items] for name in self.views},
            pixels=self.pixels.batch(pixels) if self.pixels is not None else None,
            backbone=self.source.embedder.maps,
        )


def open_reader(
    task: ShardTask, config: RunConfig, form: InputFormat, transforms: Sequence[str] = ()
) -> Reader[Any]:
    """Return the reader of the pool's images for a network of the run.

    Args:
        task: of a shard of the pool.
        config: of the run.
        form: how the network wants its input.
        transforms: names of those that the scorer needs.
    """
    if not config.model.is_frozen:
        return PixelReader(config, form)
    source = load_pool_source(config.model_dump_json(), task.run_uri, task.manifest)
    return FeatureReader(config, form, source, transforms)


@functools.lru_cache(maxsize=1)
def load_pool_source(config_json: str, run_uri: str, manifest: FileRef) -> FeatureSource:
    """Return the features of the pool, cached by a process for all its shards and cycles."""
    config = RunConfig.model_validate_json(config_json)
    rows = absolute_places(read_manifest(run_uri, manifest), data_root(config.data))
    return pool_source(config, run_uri, rows, score_device(config))


def score_device(config: RunConfig) -> str:
    """Return the device on which the pool is processed."""
    return "cuda" if config.scoring.gpus_per_worker and torch.cuda.is_available() else "cpu"

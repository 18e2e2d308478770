"""Inputs of a network: images, or cached features if its backbone is frozen."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch

from ray_al.core.config import RunConfig
from ray_al.core.types import TrainPlan
from ray_al.datasets import Dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_seen
from ray_al.features.source import FeatureSource, pool_source, split_source
from ray_al.models import images_to_tensor
from ray_al.train.inputs import BatchMaker, FeatureBatches, ImageBatches, Inputs, as_float
from ray_al.train.samples import LabelledImages


class Feed(Protocol):
    """Gives the inputs of one run at one image size, the same for every plan."""

    def batches(self, plan: TrainPlan) -> BatchMaker:
        """Return the maker of a plan's batches."""

    def pool(self, indices: Sequence[int]) -> Iterator[Inputs]:
        """Yield the inputs of single images of the pool, by their numbers in the manifest."""

    def split(
        self, split: str, positions: Sequence[int], *, mirrored: bool = False
    ) -> Iterator[Inputs]:
        """Yield the inputs of single images of a split, or of their mirrored images."""


class ImageFeed:
    """Gives decoded images at the size of `samples`.

    Args:
        config: configuration of the run.
        dataset: splits of the data set.
        samples: reads the images of the pool.
        cache: cache of decoded images.
        device: device of the network.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        samples: LabelledImages,
        cache: ByteCache,
        device: torch.device,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.samples = samples
        self.cache = cache
        self.device = device

    def batches(self, plan: TrainPlan) -> BatchMaker:
        """As `Feed.batches`."""
        return ImageBatches(self.config.with_recipe(plan.recipe), self.samples, plan, self.device)

    def pool(self, indices: Sequence[int]) -> Iterator[Inputs]:
        """As `Feed.pool`."""
        return (self._tensor(self.samples.image(index)) for index in indices)

    def split(
        self, split: str, positions: Sequence[int], *, mirrored: bool = False
    ) -> Iterator[Inputs]:
        """As `Feed.split`."""
        for position in positions:
            images = self._tensor(self._image(self.dataset.splits[split][position].uri))
            yield images.flip(3) if mirrored else images

    def _tensor(self, image: np.ndarray) -> torch.Tensor:
        return images_to_tensor(image[None], self.config.data.normalize, self.device)

    def _image(self, uri: str) -> np.ndarray:
        key = ("file", uri, self.samples.image_size)
        image = self.cache.get(key)
        if image is None:
            image = read_seen(uri, self.samples.image_size, self.dataset.pixels)
            self.cache.put(key, image)
        return image


class FeatureFeed:
    """Gives feature maps that a frozen backbone makes of images at the size of `samples`.

    Args:
        config: configuration of the run.
        run_uri: path or URI of the run directory.
        manifest: manifest of the pool with absolute places.
        dataset: splits of the data set.
        samples: labelled images.
        device: device of the network.
    """

    def __init__(
        self,
        config: RunConfig,
        run_uri: str,
        manifest: pa.Table,
        dataset: Dataset,
        samples: LabelledImages,
        device: torch.device,
    ) -> None:
        data = config.data.model_copy(update={"image_size": samples.image_size})
        self.config = config.model_copy(update={"data": data})
        self.run_uri = run_uri
        self.dataset = dataset
        self.samples = samples
        self.device = device
        self._pool = pool_source(self.config, run_uri, manifest, str(device))
        self._splits: dict[str, FeatureSource] = {}

    def batches(self, plan: TrainPlan) -> BatchMaker:
        """As `Feed.batches`."""
        return FeatureBatches(self._pool, self.samples, plan, self.device)

    def pool(self, indices: Sequence[int]) -> Iterator[Inputs]:
        """As `Feed.pool`."""
        return self._one_by_one(self._pool, indices, view=0)

    def split(
        self, split: str, positions: Sequence[int], *, mirrored: bool = False
    ) -> Iterator[Inputs]:
        """As `Feed.split`."""
        if split not in self._splits:
            source = split_source(self.config, self.run_uri, self.dataset, split, str(self.device))
            self._splits[split] = source
        source = self._splits[split]
        return self._one_by_one(source, positions, source.mirror_view if mirrored else 0)

    def _one_by_one(
        self, source: FeatureSource, numbers: Sequence[int], view: int
    ) -> Iterator[Inputs]:
        """Read full batches of the backbone, and yield the images one at a time."""
        chunk = self.config.features.batch_size
        for start in range(0, len(numbers), chunk):
            records = source.records(numbers[start : start + chunk], view)
            for record in records:
                yield as_float(source.layout.unpack(record[None], self.device))

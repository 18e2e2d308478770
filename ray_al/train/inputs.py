"""Batches of training steps, of decoded images or of the feature maps of a frozen backbone."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.core.seeding import generator
from ray_al.core.types import TrainPlan
from ray_al.features.source import FeatureSource
from ray_al.models import images_to_tensor
from ray_al.models.split import Maps
from ray_al.train.augment import augment
from ray_al.train.samples import LabelledImages

Inputs = torch.Tensor | Maps
"""Argument of a network's forward: images (N, 3, H, W), or maps of shapes (N, c, h, w)."""

Places = Mapping[int, int]
"""Position in the global batch -> number of the image in the manifest."""


def as_float(inputs: Inputs) -> Inputs:
    """Convert feature maps, which are stored in bf16, to float32; images are float32 already."""
    if isinstance(inputs, torch.Tensor):
        return inputs
    return tuple(feature_map.float() for feature_map in inputs)


class Batch(NamedTuple):
    """A worker's part of the global batch of a step.

    Attributes:
        inputs: N images; for pairs 2N, the mirrored images in the second half.
        labels: stacked masks of `LabelledImages.mask`, (N, H, W) or (N, H, W, 2).
        origins: features only: for each image a function that computes the
            `ViewDraw.source_index` of its view, or None for the unchanged image.
    """

    inputs: Inputs
    labels: np.ndarray
    origins: Sequence[Callable[[], np.ndarray] | None] = ()


class BatchMaker(Protocol):
    """Makes the batches of one plan."""

    def prepare(self, steps: Iterable[tuple[int, Places]], *, paired: bool, plain: bool) -> None:
        """Announce what the steps will ask for, so it can be made in full batches.

        Args:
            steps: number and places of each step.
            paired: whether the steps ask for pairs.
            plain: whether the steps also ask for unchanged images.
        """

    def drawn(self, places: Places, step: int) -> Batch:
        """Return randomly changed images, seeded by seed, cycle, step and place."""

    def paired(self, places: Places, step: int) -> Batch:
        """Return images as `drawn` does, followed by their mirrored images."""

    def plain(self, places: Places) -> Batch:
        """Return unchanged images."""


class ImageBatches:
    """Makes batches of decoded images, changed according to `train.augment`."""

    def __init__(
        self, config: RunConfig, samples: LabelledImages, plan: TrainPlan, device: torch.device
    ) -> None:
        self.config = config
        self.samples = samples
        self.plan = plan
        self.device = device

    def prepare(self, steps: Iterable[tuple[int, Places]], *, paired: bool, plain: bool) -> None:
        """Do nothing: images are decoded when a step needs them."""

    def drawn(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.drawn`."""
        changes = self.config.train.augment
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for position, index in places.items():
            pair = augment(
                self.samples.image(index),
                self.samples.mask(index),
                changes,
                seed=self.plan.seed,
                cycle=self.plan.cycle,
                step=step,
                position=position,
                regions=None if changes.scale is None else self.samples.regions(index),
            )
            pairs.append(pair)
        return self._batch(pairs)

    def paired(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.paired`."""
        batch = self.drawn(places, step)
        assert isinstance(batch.inputs, torch.Tensor)
        return batch._replace(inputs=torch.cat([batch.inputs, batch.inputs.flip(3)]))

    def plain(self, places: Places) -> Batch:
        """As `BatchMaker.plain`."""
        indices = places.values()
        return self._batch([(self.samples.image(i), self.samples.mask(i)) for i in indices])

    def _batch(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Batch:
        images = np.stack([image for image, _ in pairs])
        inputs = images_to_tensor(images, self.config.data.normalize, self.device)
        return Batch(inputs, np.stack([mask for _, mask in pairs]))


class FeatureBatches:
    """Makes batches of cached features of one drawn view per image.

    The labels of a view are those of the image pixels that it shows.
    """

    def __init__(
        self,
        source: FeatureSource,
        samples: LabelledImages,
        plan: TrainPlan,
        device: torch.device,
    ) -> None:
        self.source = source
        self.samples = samples
        self.plan = plan
        self.device = device
        self.chunk = source.config.features.batch_size
        self.cache_bytes = source.config.data.cache_gb * 2**30

    def prepare(self, steps: Iterable[tuple[int, Places]], *, paired: bool, plain: bool) -> None:
        """Load the records of all steps into the cache, unless they need more than it holds.

        A single step asks for few images per view, but the backbone only computes full batches.
        """
        wanted = self._wanted(steps, paired, plain)
        for view in sorted({view for view, _ in wanted}):
            numbers = sorted(index for other, index in wanted if other == view)
            for start in range(0, len(numbers), self.chunk):
                self.source.records(numbers[start : start + self.chunk], view)

    def _wanted(
        self, steps: Iterable[tuple[int, Places]], paired: bool, plain: bool
    ) -> set[tuple[int, int]]:
        """Return the (view, number) pairs of the steps; none if they need more than the cache."""
        mirror, record_bytes = self.source.mirror_view, self.source.record_bytes
        all_pairs = len(self.samples.indices) * (2 if paired else self.source.num_views)
        wanted: set[tuple[int, int]] = set()
        for step, places in steps:
            for position, index in places.items():
                views = [0, mirror] if paired else [self._view(step, position)]
                if plain and not paired:
                    views.append(0)
                wanted.update((view, index) for view in views)
            if len(wanted) * record_bytes > self.cache_bytes:
                return set()
            if len(wanted) == all_pairs:
                break
        return wanted

    def drawn(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.drawn`, with one drawn view per image."""
        shown = [(index, self._view(step, position)) for position, index in places.items()]
        origins = [functools.partial(self._origin, *one) if one[1] else None for one in shown]
        labels = [
            self.samples.mask(index) if origin is None else self.samples.view(index, view, origin)
            for (index, view), origin in zip(shown, origins, strict=True)
        ]
        return Batch(self._maps(shown), np.stack(labels), origins)

    def paired(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.paired`, with the unchanged and the mirrored view of each image."""
        mirror = self.source.mirror_view
        indices = list(places.values())
        maps = self._maps([(i, 0) for i in indices] + [(i, mirror) for i in indices])
        return Batch(maps, np.stack([self.samples.mask(index) for index in indices]))

    def plain(self, places: Places) -> Batch:
        """As `BatchMaker.plain`."""
        indices = list(places.values())
        maps = self._maps([(index, 0) for index in indices])
        return Batch(maps, np.stack([self.samples.mask(index) for index in indices]))

    def _view(self, step: int, position: int) -> int:
        rng = generator("which view", self.plan.seed, self.plan.cycle, step, position)
        return int(rng.integers(self.source.num_views))

    def _origin(self, index: int, view: int) -> np.ndarray:
        return self.source.draw(index, view).source_index()

    def _maps(self, shown: Sequence[tuple[int, int]]) -> Maps:
        """Return the maps of (number, view) pairs, read from the source one view at a time."""
        rows: dict[tuple[int, int], np.ndarray] = {}
        for view in sorted({view for _, view in shown}):
            numbers = sorted({index for index, other in shown if other == view})
            records = self.source.records(numbers, view)
            rows.update(
                {(index, view): record for index, record in zip(numbers, records, strict=True)}
            )
        return self.source.layout.unpack([rows[pair] for pair in shown], self.device)

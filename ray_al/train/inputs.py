"""What a training step takes: decoded images, or the feature maps of a frozen backbone."""

from collections.abc import Iterable, Mapping, Sequence
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
"""What a network's forward takes: images (N, 3, H, W), or maps (N, c, h, w) each."""

Places = Mapping[int, int]
"""Place in the global batch -> number of the image in the manifest."""


def as_float(inputs: Inputs) -> Inputs:
    """Inputs in float32: maps are kept in bf16."""
    if isinstance(inputs, torch.Tensor):
        return inputs
    return tuple(one.float() for one in inputs)


class Batch(NamedTuple):
    """A worker's part of a step.

    Attributes:
        inputs: N images; of a pair 2N, the mirrored ones in the second half.
        labels: as of `LabelledImages.mask`, stacked: (N, H, W) or (N, H, W, 2).
        origins: of features in drawn views, of each image which of its pixels each pixel shows,
            as of `ViewDraw.source_index`; None for an image as it is.
    """

    inputs: Inputs
    labels: np.ndarray
    origins: Sequence[np.ndarray | None] = ()


class BatchMaker(Protocol):
    """Makes the batches of one plan."""

    def prepare(self, steps: Iterable[tuple[int, Places]], *, paired: bool, plain: bool) -> None:
        """Told beforehand what the steps will ask for, each with its number.

        Args:
            steps: number, and places.
            paired: whether they ask for pairs.
            plain: whether they ask for images as they are too.
        """

    def drawn(self, places: Places, step: int) -> Batch:
        """Images changed at random; the changes follow from seed, cycle, step and place."""

    def paired(self, places: Places, step: int) -> Batch:
        """As `drawn`, and behind them the mirrored images."""

    def plain(self, places: Places) -> Batch:
        """Images as they are."""


class ImageBatches:
    """Of decoded images, changed as `train.augment` says."""

    def __init__(
        self, config: RunConfig, samples: LabelledImages, plan: TrainPlan, device: torch.device
    ) -> None:
        self.config, self.samples, self.plan, self.device = config, samples, plan, device

    def prepare(self, steps: Iterable[tuple[int, Places]], *, paired: bool, plain: bool) -> None:
        """Nothing: images are decoded when they are met."""

    def drawn(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.drawn`."""
        changes, pairs = self.config.train.augment, []
        for position, index in places.items():
            regions = None if changes.scale is None else self.samples.regions(index)
            place = {
                "seed": self.plan.seed,
                "cycle": self.plan.cycle,
                "step": step,
                "position": position,
            }
            image, mask = self.samples.image(index), self.samples.mask(index)
            pairs.append(augment(image, mask, changes, regions=regions, **place))
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
    """Of cached features: one of the views of each image, its labels gathered from where it shows them."""

    def __init__(
        self,
        source: FeatureSource,
        samples: LabelledImages,
        plan: TrainPlan,
        device: torch.device,
    ) -> None:
        self.source, self.samples, self.plan, self.device = source, samples, plan, device
        config = source.config
        self.chunk, self.cache_bytes = config.features.batch_size, config.data.cache_gb * 2**30

    def prepare(self, steps: Iterable[tuple[int, Places]], *, paired: bool, plain: bool) -> None:
        """Have the source look up what the steps need in full batches, where memory holds all of it.

        A step alone asks for few images of a view, and the backbone computes full batches only.
        """
        wanted = self._wanted(steps, paired, plain)
        for view in sorted({view for view, _ in wanted}):
            numbers = sorted(index for other, index in wanted if other == view)
            for start in range(0, len(numbers), self.chunk):
                self.source.records(numbers[start : start + self.chunk], view)

    def _wanted(
        self, steps: Iterable[tuple[int, Places]], paired: bool, plain: bool
    ) -> set[tuple[int, int]]:
        """The (view, number) pairs that the steps need; none where they need more than memory holds."""
        mirror, record_bytes = self.source.mirror_view, 2 * self.source.layout.num_values
        all_pairs = len(self.samples.indices) * (2 if paired else self.source.num_views)
        wanted: set[tuple[int, int]] = set()
        for step, places in steps:
            for position, index in places.items():
                views = (
                    [0, mirror] if paired else [self._view(step, position), *([0] if plain else [])]
                )
                wanted.update((view, index) for view in views if view is not None)
            if len(wanted) * record_bytes > self.cache_bytes:
                return set()
            if len(wanted) == all_pairs:
                break
        return wanted

    def drawn(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.drawn`: each image by one of its views."""
        shown = [(index, self._view(step, position)) for position, index in places.items()]
        origins = [
            self.source.draw(index, view).source_index() if view else None for index, view in shown
        ]
        labels = [
            _gathered(self.samples.mask(index), origin)
            for (index, _), origin in zip(shown, origins, strict=True)
        ]
        return Batch(self._maps(shown), np.stack(labels), origins)

    def paired(self, places: Places, step: int) -> Batch:
        """As `BatchMaker.paired`, of the images as they are: a pair is two of their views."""
        mirror = self.source.mirror_view
        assert mirror is not None, "checked before the run: check_train"
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

    def _maps(self, shown: Sequence[tuple[int, int]]) -> Maps:
        """Maps of (number, view) pairs; views are looked up together, as a source answers one view at a time."""
        rows: dict[tuple[int, int], np.ndarray] = {}
        for view in sorted({view for _, view in shown}):
            numbers = sorted({index for index, other in shown if other == view})
            records = self.source.records(numbers, view)
            rows.update(
                {(index, view): record for index, record in zip(numbers, records, strict=True)}
            )
        return self.source.layout.unpack([rows[pair] for pair in shown], self.device)


def _gathered(mask: np.ndarray, origin: np.ndarray | None) -> np.ndarray:
    """The labels of a view, whose pixels show the pixels `origin` of the image."""
    return mask if origin is None else mask.reshape(-1, *mask.shape[2:])[origin]

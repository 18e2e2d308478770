"""Predict whole images: metrics of a split, and previews for the report."""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError, DivergedError
from ray_al.core.types import IGNORE_INDEX, ImageFile, Metrics
from ray_al.datasets import Dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_image_size, read_void
from ray_al.datasets.masks import read_mask
from ray_al.datasets.pixels import to_picture
from ray_al.datasets.tiles import image_of, split_uri
from ray_al.train.comm import Comm
from ray_al.train.feed import Feed
from ray_al.train.inputs import Inputs
from ray_al.train.losses import resize_logits
from ray_al.train.metrics import confusion_matrix, metrics_from_confusion
from ray_al.train.samples import LabelledImages

logger = logging.getLogger(__name__)


class Evaluator:
    """Applies a network to whole images, one at a time, so that no prediction depends on a batch.

    Args:
        config: configuration of the run with the recipe of the plan applied.
        dataset: splits and mask decoder.
        cache: cache of decoded masks.
        device: device of the network.
    """

    def __init__(
        self, config: RunConfig, dataset: Dataset, cache: ByteCache, device: torch.device
    ) -> None:
        self.config, self.dataset, self.cache, self.device = config, dataset, cache, device

    def evaluate(self, model: nn.Module, split: str, feed: Feed, comm: Comm) -> Metrics:
        """Compute the metrics of a split from one confusion matrix, summed over the workers.

        Args:
            model: the network, in evaluation mode.
            split: name of the split; images without a mask are left out.
            feed: gives the inputs of the network.
            comm: communication with the other workers, each of which predicts some images.

        Raises:
            DivergedError: logits are not finite. All workers raise it, after their common sum.
        """
        files = self.dataset.splits[split]
        known = [position for position, file in enumerate(files) if file.mask_uri]
        # Tiles of an image stay together, so that its file is decoded by one worker.
        names = [image_of(files[position].image_id, files[position].uri) for position in known]
        images = {name: number for number, name in enumerate(dict.fromkeys(names))}
        own = [
            position
            for position, name in zip(known, names, strict=True)
            if images[name] % comm.world_size == comm.rank
        ]
        matrix = np.zeros((self.dataset.num_classes, self.dataset.num_classes + 1), dtype=np.int64)
        num_broken = 0
        for position, scores in zip(own, self._scores(model, split, own, feed), strict=True):
            target = self._mask(files[position])
            num_broken += not bool(torch.isfinite(scores).all())
            _, tile = split_uri(files[position].uri)
            resized = resize_logits(scores, target.shape if tile is None else tile.window)
            ids = resized.argmax(1)[0].to(torch.uint8).cpu().numpy()
            ids = ids if tile is None else tile.cut(ids)
            matrix += confusion_matrix(ids, target, self.dataset.num_classes)
        counts = torch.from_numpy(np.append(matrix.ravel(), num_broken)).to(self.device)
        *total, num_broken = comm.sum(counts).cpu().numpy()
        if num_broken:
            what = "images" if len(images) == len(known) else "tiles"
            raise DivergedError(
                f"the model diverged: its logits are not finite on {num_broken} of {len(known)} "
                f"{what} of the split {split!r}; lower train.learning_rate, then start a new run"
            )
        return metrics_from_confusion(np.array(total).reshape(matrix.shape), len(images))

    def _scores(
        self, model: nn.Module, split: str, positions: Sequence[int], feed: Feed
    ) -> Iterator[torch.Tensor]:
        """Yield scores (1, C, h, w) of images, highest at the predicted class.

        They are logits, or with `train.mirror_test` the mean softmax of image and mirrored image.
        """
        plain = (self._logits(model, inputs) for inputs in feed.split(split, positions))
        if not self.config.train.mirror_test:
            yield from plain
            return
        mirrored = (
            self._logits(model, inputs) for inputs in feed.split(split, positions, mirrored=True)
        )
        for a, b in zip(plain, mirrored, strict=True):
            yield (a.softmax(1) + b.flip(3).softmax(1)) / 2

    def previews(
        self, model: nn.Module, numbers: Mapping[str, int], samples: LabelledImages, feed: Feed
    ) -> bytes:
        """Return an .npz file of predictions for the report.

        It has `image_ids` and, for the i-th of them, `image_i` and `prediction_i` (uint8) and
        `entropy_i` (float16, nats), all at the size of `samples`, or of the core of a tile.
        Images that cannot be used are left out with a warning, because a picture for the report is
        no reason to stop a run.

        Args:
            model: the network, in evaluation mode.
            numbers: image_id -> number in the manifest.
            samples: reads the images.
            feed: gives the inputs of the network.
        """
        images = {}
        for image_id, index in numbers.items():
            try:
                seen = samples.core(index, samples.image(index))
                images[image_id] = to_picture(seen, self.config.data.shown_positions)
            except DataError as error:
                logger.warning("no preview for the report: %s", error)
        arrays: dict[str, np.ndarray] = {"image_ids": np.array(list(images))}
        inputs = feed.pool([numbers[image_id] for image_id in images])
        for i, (image, one) in enumerate(zip(images.values(), inputs, strict=True)):
            log_p = resize_logits(self._logits(model, one), samples.image_size).log_softmax(1)[0]
            ids = log_p.argmax(0).to(torch.uint8).cpu().numpy()
            entropy = -(log_p.exp() * log_p).sum(0).half().cpu().numpy()
            index = numbers[arrays["image_ids"][i]]
            arrays[f"image_{i}"] = image
            arrays[f"prediction_{i}"] = samples.core(index, ids)
            arrays[f"entropy_{i}"] = samples.core(index, entropy)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    def _logits(self, model: nn.Module, inputs: Inputs) -> torch.Tensor:
        bf16 = self.config.train.precision == "bf16"
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16),
        ):
            logits: torch.Tensor = model(inputs)
            return logits.float()

    def _mask(self, file: ImageFile) -> np.ndarray:
        uri, rule = str(file.mask_uri), self.dataset.pixels
        key = ("mask", uri)
        mask = self.cache.get(key)
        if mask is None:
            mask = read_mask(uri, self.dataset.decoder_of(file))
            size = read_image_size(file.uri, rule)
            if mask.shape != size:
                raise DataError(
                    f"{uri}: the mask is {mask.shape[0]}x{mask.shape[1]} pixels, its image "
                    f"{size[0]}x{size[1]}; put the validation image and mask of the same size back"
                )
            if rule.nodata is not None:
                mask = np.where(read_void(file.uri, rule), np.uint8(IGNORE_INDEX), mask)
            self.cache.put(key, mask)
        return mask

"""Predictions at native size: metrics of a split, and previews for the report."""

import io
import logging
from typing import Any

import numpy as np
import torch
from torch import nn

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError, DivergedError
from ray_al.core.types import ImageFile, Metrics
from ray_al.datasets import Dataset
from ray_al.datasets.images import read_image, resize_image
from ray_al.datasets.masks import read_mask
from ray_al.models import images_to_tensor
from ray_al.train.comm import Comm
from ray_al.train.losses import resize_logits
from ray_al.train.metrics import confusion_matrix, metrics_from_confusion

logger = logging.getLogger(__name__)


class Evaluator:
    """Applies a network to whole images, one at a time, so that no batch changes a prediction.

    Args:
        config: of the run.
        dataset: its splits and decoder.
        cache: where decoded images and masks are kept.
        device: where the network lies.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, cache: Any, device: torch.device) -> None:
        self.config, self.dataset, self.cache, self.device = config, dataset, cache, device

    def evaluate(self, model: nn.Module, split: str, image_size: tuple[int, int], comm: Comm) -> Metrics:
        """Metrics of `split` from one confusion matrix summed over the workers; images without a mask are left out.

        Raises:
            DivergedError: logits are not finite. It is raised on every worker, after the sum that all of them wait for.
        """
        files = [file for file in self.dataset.splits[split] if file.mask_uri]
        matrix = np.zeros((self.dataset.num_classes, self.dataset.num_classes + 1), dtype=np.int64)
        num_broken = 0
        for file in files[comm.rank :: comm.world_size]:
            target = self._mask(str(file.mask_uri))
            logits = resize_logits(self._logits(model, self._image(file.uri, image_size)), target.shape)
            num_broken += not bool(torch.isfinite(logits).all())
            matrix += confusion_matrix(logits.argmax(1)[0].to(torch.uint8).cpu().numpy(), target, self.dataset.num_classes)
        counts = torch.from_numpy(np.append(matrix.ravel(), num_broken)).to(self.device)
        *total, num_broken = comm.sum(counts).cpu().numpy()
        if num_broken:
            raise DivergedError(
                f"the model diverged: its logits are not finite on {num_broken} of {len(files)} images of the split {split!r}; "
                "lower train.learning_rate, then start a new run"
            )
        return metrics_from_confusion(np.array(total).reshape(matrix.shape), len(files))

    def previews(self, model: nn.Module, files: tuple[ImageFile, ...], image_size: tuple[int, int]) -> bytes:
        """An npz with `image_i`, `prediction_i` (uint8) and `entropy_i` (float16, nats), all at `image_size`, and `image_ids`.

        An image that cannot be used is not in it: a picture of the report is no reason to stop a run.
        """
        images = {}
        for file in files:
            try:
                images[file.image_id] = self._image(file.uri, image_size)
            except DataError as error:
                logger.warning("no preview for the report: %s", error)
        arrays: dict[str, np.ndarray] = {"image_ids": np.array(list(images))}
        for i, image in enumerate(images.values()):
            log_p = resize_logits(self._logits(model, image), image_size).log_softmax(1)[0]
            arrays[f"image_{i}"] = image
            arrays[f"prediction_{i}"] = log_p.argmax(0).to(torch.uint8).cpu().numpy()
            arrays[f"entropy_{i}"] = -(log_p.exp() * log_p).sum(0).half().cpu().numpy()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    def _logits(self, model: nn.Module, image: np.ndarray) -> torch.Tensor:
        images = images_to_tensor(image[None], self.config.data.normalize, self.device)
        bf16 = self.config.train.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            return model(images).float()

    def _image(self, uri: str, image_size: tuple[int, int]) -> np.ndarray:
        key = ("file", uri, image_size)
        image = self.cache.get(key)
        if image is None:
            image = resize_image(read_image(uri), image_size)
            self.cache.put(key, image)
        return image

    def _mask(self, uri: str) -> np.ndarray:
        key = ("mask", uri)
        mask = self.cache.get(key)
        if mask is None:
            mask = read_mask(uri, self.dataset.decoder)
            self.cache.put(key, mask)
        return mask

"""The scorer of one process: images in, one value a region out."""

import io
from collections.abc import Sequence

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.models import build_model, images_to_tensor
from ray_al.regions import open_regions
from ray_al.score.functions import ACQUISITIONS, ScoreOptions
from ray_al.score.pooling import pool_boxes
from ray_al.score.prepare import prepare_network, resolve_precision
from ray_al.score.transforms import add_transformed, apply
from ray_al.score.views import Views

LARGE_SIDE = 320
"""Logits are scored at a quarter of the input where its shorter side is at least this long, else at half: measured on CamVid with
fp32, the top 12 % then overlap with full resolution by 0.995 (360x480) and 0.997 (180x240, 120x160); a quarter of 120x160: 0.989."""


class Scorer:
    """Scores batches of images with one network.

    Args:
        config: of the run.
        num_classes: channels of the network.
        weights: a state dict as `torch.save` wrote it; None for the untrained network.
        device: where to compute.
    """

    def __init__(self, config: RunConfig, num_classes: int, weights: bytes | None, *, device: str = "cpu") -> None:
        torch.set_num_threads(config.score.threads)
        self.config, self.device = config, device
        self.acquisition = ACQUISITIONS[config.strategy.score]
        self.precision = resolve_precision(config.score.precision)
        self.batch_size = config.score.batch_size if isinstance(config.score.batch_size, int) else 4
        self.regions = open_regions(config.regions)
        model = build_model(config.model, num_classes, load_weights=False)
        if weights is not None:
            model.load_state_dict(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True))
        self.network = prepare_network(model, self.precision, device)

    def score_images(self, images: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Region scores of images.

        Args:
            images: uint8 (H, W, 3), all of one size.
            sizes: native (height, width) of each.

        Returns:
            float32 (R,) an image.
        """
        scores: list[np.ndarray] = []
        for start in range(0, len(images), self.batch_size):
            batch = list(images[start : start + self.batch_size])
            # A short batch is filled up, so that a value never depends on how many images came together.
            full = np.stack(batch + [batch[-1]] * (self.batch_size - len(batch)))
            pixels_NHW = self.pixel_scores(full)
            for position in range(len(batch)):
                height, width = sizes[start + position]
                boxes = self.regions.boxes(height, width)
                scores.append(pool_boxes(pixels_NHW[position : position + 1], boxes, height, width)[0].cpu().numpy())
        return scores

    @torch.inference_mode()
    def pixel_scores(self, images: np.ndarray) -> torch.Tensor:
        """float32 (N, h, w) of uint8 images (N, H, W, 3)."""
        logits = self.logits(self.network_input(images))
        if self.acquisition.pixel is not None:
            return self.acquisition.pixel(logits, ScoreOptions())
        assert self.acquisition.views is not None, "random scores need no network"
        views = Views(self.acquisition.wants)
        views.add(logits[: len(images)])
        add_transformed(views, "mirror", logits[len(images) :], (logits.shape[-2], logits.shape[-1]))
        return self.acquisition.views(views)

    def network_input(self, images: np.ndarray) -> torch.Tensor:
        """Normalised pixels; with the mirror images behind them where the function looks at transforms."""
        layout = torch.contiguous_format if self.precision == "reference" else torch.channels_last
        tensor = images_to_tensor(images, self.config.data.normalize, self.device, layout)
        if self.precision == "bf16":
            tensor = tensor.to(torch.bfloat16)
        if self.acquisition.inputs != "transforms":
            return tensor
        return torch.cat([tensor, apply("mirror", tensor)]).contiguous(memory_format=layout)

    def logits(self, tensor: torch.Tensor) -> torch.Tensor:
        """float32 logits at a quarter or half of the input's size (`reference`: at full size)."""
        height, width = tensor.shape[-2:]
        factor = 4 if min(height, width) >= LARGE_SIDE else 2
        if self.precision == "reference":
            factor = 1
        size = (max(1, height // factor), max(1, width // factor))
        return torch.nn.functional.interpolate(self.network(tensor).float(), size=size, mode="bilinear", align_corners=False)

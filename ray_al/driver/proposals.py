"""Predict labels with the current model, as proposals for people who label."""

import io

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.datasets.images import resize_image, resize_mask
from ray_al.models import build_model, images_to_tensor, load_trained


class ProposalModel:
    """Predicts the class ids of an image in native pixels.

    Args:
        weights: bytes of a checkpoint `model.pt`.
    """

    def __init__(self, config: RunConfig, num_classes: int, weights: bytes) -> None:
        torch.set_num_threads(config.scoring.threads)
        self.config = config
        self.model = build_model(
            config.model, num_classes, config.data.num_channels, load_weights=False
        )
        load_trained(
            self.model, torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
        )
        self.model.eval()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        pixels_NCHW = images_to_tensor(
            resize_image(image, self.config.data.image_size)[None],
            self.config.data.normalize,
            "cpu",
        )
        with torch.inference_mode():
            logits = self.model(pixels_NCHW)
            size = self.config.data.image_size
            ids = torch.nn.functional.interpolate(
                logits, size=size, mode="bilinear", align_corners=False
            ).argmax(1)[0]
        return resize_mask(ids.to(torch.uint8).numpy(), image.shape[:2])

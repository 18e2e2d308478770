"""Apply a trained network to whole images, as the evaluation of a run does."""

import functools
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, DivergedError
from ray_al.core.memory import keep_freed_memory
from ray_al.datasets.images import resize_image
from ray_al.features.embed import load_embedder
from ray_al.models import build_model, images_to_tensor, load_trained
from ray_al.models.split import Maps
from ray_al.predict.choose import TakenModel


def load_network(model: TakenModel) -> nn.Module:
    """Return the network of a model with its weights, in evaluation mode.

    Raises:
        ConfigError: the weights do not fit the network.
        StorageError: the weights are missing, or differ from what was recorded.
    """
    keep_freed_memory()
    settings = model.config.model
    with torch.random.fork_rng(devices=[]):
        network = build_model(
            settings, len(model.class_names), model.config.data.num_channels, load_weights=False
        )
    state = torch.load(io.BytesIO(model.read_weights()), map_location="cpu", weights_only=True)
    try:
        load_trained(network, state)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{model.run_uri}: the weights of {model.origin} do not fit the network of its "
            f"configuration with {len(model.class_names)} classes ({text}); choose another --cycle"
        ) from None
    return network.eval()


class _Feed(ABC):
    """Makes the input of a network from images at the size that it sees."""

    def __init__(self, config: RunConfig, device: str) -> None:
        self.config = config
        self.device = device

    @abstractmethod
    def inputs(self, images: np.ndarray) -> torch.Tensor | Maps:
        """Return what the network takes for images, uint8 (N, H, W, 3)."""


class _Pixels(_Feed):
    def inputs(self, images: np.ndarray) -> torch.Tensor:
        """Return normalised images (N, 3, H, W)."""
        return images_to_tensor(images, self.config.data.normalize, self.device)


class _BackboneMaps(_Feed):
    """Gives maps of the frozen backbone, rounded to bf16 as a run's feature store does."""

    def __init__(self, config: RunConfig, device: str) -> None:
        super().__init__(config, device)
        self.embedder = load_embedder(config.model_dump_json(), device)

    def inputs(self, images: np.ndarray) -> Maps:
        """Return maps (N, c, h, w), from fine to coarse."""
        records = self.embedder.records(list(images))
        return tuple(values.float() for values in self.embedder.layout.unpack(records, self.device))


class Predictor:
    """Predicts images of any size; any number of threads may share it.

    Args:
        model: of a run.
        device: where to compute.
    """

    def __init__(self, model: TakenModel, device: str = "cpu") -> None:
        self.model = model
        feed = _BackboneMaps if model.config.model.is_frozen else _Pixels
        self._feed: _Feed = feed(model.config, device)
        self._network = load_network(model).to(device)
        self._device = torch.device(device)

    @torch.inference_mode()
    def scores(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Return scores (N, C, h, w), highest at the predicted class, of uint8 (H, W, 3) images.

        They are logits, or with `train.mirror_test` the mean softmax of image and mirrored image.

        Raises:
            DivergedError: a score is not finite.
        """
        resized = np.stack([resize_image(image, self.model.size) for image in images])
        scores = self._logits(resized)
        if self.model.config.train.mirror_test:
            mirrored = self._logits(np.ascontiguousarray(resized[:, :, ::-1])).flip(3)
            scores = (scores.softmax(1) + mirrored.softmax(1)) / 2
        if not torch.isfinite(scores).all():
            raise DivergedError(
                f"{self.model.run_uri}: the outputs of the model of {self.model.origin} are not "
                "finite; choose another --cycle"
            )
        return scores

    def probabilities(self, scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Return float32 probabilities (C, *size) from the scores (C, h, w) of one image."""
        values = _resized(scores, size)
        return values if self.model.config.train.mirror_test else values.softmax(0)

    def class_ids(self, scores: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
        """Return the predicted classes, uint8 `size`, from the scores (C, h, w) of one image."""
        ids: np.ndarray = highest(scores, size).cpu().numpy()
        return ids

    def _logits(self, images: np.ndarray) -> torch.Tensor:
        inputs = self._feed.inputs(images)
        is_bf16 = self.model.config.train.precision == "bf16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=is_bf16):
            logits: torch.Tensor = self._network(inputs)
            return logits.float()


def highest(scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the number of the highest score of each pixel, the first of equals, uint8 `size`.

    The classes are resized one after another: of large images, resized scores of all classes would
    not fit into memory.

    Args:
        scores: (C, h, w).
        size: height and width of the image.
    """
    best = _resized(scores[:1], size)[0]
    ids = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    for number in range(1, len(scores)):
        values = _resized(scores[number : number + 1], size)[0]
        ids.masked_fill_(values > best, number)
        best = torch.maximum(best, values)
    return ids


def _resized(scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return scores (C, h, w) resized bilinearly to (C, *size)."""
    if tuple(scores.shape[1:]) == tuple(size):
        return scores
    return functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]


@functools.lru_cache(maxsize=1)
def load_predictor(model: TakenModel, device: str) -> Predictor:
    """Return the predictor of a model, which a process keeps for all its tasks."""
    return Predictor(model, device)

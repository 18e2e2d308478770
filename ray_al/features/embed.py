"""Computing feature maps with a frozen backbone."""

import functools
import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch

from ray_al.core.config import DataConfig, RunConfig
from ray_al.core.memory import keep_freed_memory
from ray_al.features.layout import MapLayout
from ray_al.models.build import build_backbone
from ray_al.models.prepare import images_to_tensor
from ray_al.models.split import Maps

FORMAT = 1
"""Version of the records. Raise it when a change of the code changes the record that the same
settings, weights and image give."""


class Embedder:
    """Computes the feature maps of images and packs them into records.

    Every batch has the same number of images (the last one is padded) and is computed by one
    thread. A record therefore depends neither on the other images of its batch nor on the process
    that computes it.

    Args:
        config: configuration of the run; `model.frozen` must be true.
        device: device that computes the maps.
    """

    def __init__(self, config: RunConfig, device: torch.device | str = "cpu") -> None:
        keep_freed_memory()
        self.config, self.device = config, torch.device(device)
        self.backbone = (
            build_backbone(config.model, config.data.num_channels).eval().to(self.device)
        )
        self.batch_size = config.features.batch_size
        shape = (1, *config.data.image_size, config.data.num_channels)
        self.layout = MapLayout.of(self._maps(np.zeros(shape, dtype=np.uint8)))

    @property
    def stored_device(self) -> str:
        """Type of the device whose records are stored, `cuda` or `cpu`.

        Other devices round differently, so an embedder on another one must not fill the store.
        """
        return "cuda" if self.config.scoring.gpus_per_worker else "cpu"

    @functools.cached_property
    def digest(self) -> str:
        """Digest of everything but the image that determines a record.

        It covers the backbone and its weights, the preprocessing, the batch size and the device.
        """
        facts = {
            "format": FORMAT,
            "model": self.config.model.model_dump(mode="json", exclude={"weights", "head"}),
            "state": _state_digest(self.backbone),
            "image_size": self.config.data.image_size,
            "normalize": self.config.data.model_dump(mode="json")["normalize"],
            **_pixel_facts(self.config.data),
            "batch_size": self.batch_size,
            "sizes": [(size.channels, size.height, size.width) for size in self.layout.sizes],
            "device": self.stored_device,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def records(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the records of images.

        Args:
            images: N arrays, uint8 or float32 (H, W, C) at `data.image_size`.

        Returns:
            uint16 (N, num_values), the bits of bf16 numbers.
        """
        parts = [np.zeros((0, self.layout.num_values), dtype=np.uint16)]
        for start in range(0, len(images), self.batch_size):
            members = list(images[start : start + self.batch_size])
            padded = members + [members[-1]] * (self.batch_size - len(members))
            parts.append(self.layout.pack(self._maps(np.stack(padded)))[: len(members)])
        return np.concatenate(parts)

    def maps(self, images: torch.Tensor) -> Maps:
        """Compute feature maps in the precision of records.

        Args:
            images: normalised images (N, C, H, W) of any size.

        Returns:
            One bf16 tensor (N, c, h, w) per map, from fine to coarse.
        """
        maps: Maps = self.backbone(images)
        return tuple(feature_map.to(torch.bfloat16) for feature_map in maps)

    @torch.inference_mode()
    def _maps(self, images: np.ndarray) -> Maps:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            # Another memory format would change kept features in their last bits.
            pixels = images_to_tensor(
                images, self.config.data.normalize, self.device, torch.contiguous_format
            )
            maps: Maps = self.backbone(pixels)
        finally:
            torch.set_num_threads(threads)
        return maps


def _pixel_facts(data: DataConfig) -> dict[str, object]:
    """Return the settings that say what the values of images become, as far as they are set."""
    facts = data.model_dump(mode="json", include={"channels", "value_range", "nodata"})
    return {key: value for key, value in facts.items() if value is not None}


def _state_digest(backbone: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(backbone.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@functools.lru_cache(maxsize=2)
def load_embedder(config_json: str, device: str) -> Embedder:
    """Return the embedder of a configuration, shared by all shards and cycles of this process."""
    return Embedder(RunConfig.model_validate_json(config_json), device)

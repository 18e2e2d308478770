"""Images through a frozen backbone."""

import functools
import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.features.layout import MapLayout
from ray_al.models.build import build_backbone
from ray_al.models.prepare import images_to_tensor
from ray_al.models.split import Maps

FORMAT = 1
"""Changes whenever other code makes other records of the same settings, weights and images."""


class Embedder:
    """Computes records of feature maps.

    Every batch has the same number of images, the last one being filled up, and one thread computes
    it, so that a record never depends on which images came together, nor on who computes it.

    Args:
        config: of the run; its model is frozen.
        device: where to compute.
    """

    def __init__(self, config: RunConfig, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        self.backbone = build_backbone(config.model).eval().to(self.device)
        self.batch_size = config.features.batch_size
        self.layout = MapLayout.of(
            self._maps(np.zeros((1, *config.data.image_size, 3), dtype=np.uint8))
        )

    @property
    def stored_device(self) -> str:
        """The kind of device that computes what is stored, wherever this embedder is: others round differently."""
        return "cuda" if self.config.score.gpus_per_worker else "cpu"

    @functools.cached_property
    def digest(self) -> str:
        """Names all that a record of an image follows from beside the image: weights, their network, and how pixels reach it."""
        facts = {
            "format": FORMAT,
            "model": self.config.model.model_dump(mode="json", exclude={"weights", "head"}),
            "state": _state_digest(self.backbone),
            "image_size": self.config.data.image_size,
            "normalize": self.config.data.normalize,
            "batch_size": self.batch_size,
            "sizes": [(size.channels, size.height, size.width) for size in self.layout.sizes],
            "device": self.stored_device,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def records(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """uint16 (N, num_values) of images, uint8 (H, W, 3) each, at `data.image_size`."""
        parts = [np.zeros((0, self.layout.num_values), dtype=np.uint16)]
        for start in range(0, len(images), self.batch_size):
            members = list(images[start : start + self.batch_size])
            filled = members + [members[-1]] * (self.batch_size - len(members))
            parts.append(self.layout.pack(self._maps(np.stack(filled)))[: len(members)])
        return np.concatenate(parts)

    def maps(self, images: torch.Tensor) -> Maps:
        """Maps (N, c, h, w) in bf16, as records hold them, of normalised images (N, 3, h, w) of any size."""
        maps: Maps = self.backbone(images)
        return tuple(one.to(torch.bfloat16) for one in maps)

    @torch.inference_mode()
    def _maps(self, images: np.ndarray) -> Maps:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            maps: Maps = self.backbone(
                images_to_tensor(images, self.config.data.normalize, self.device)
            )
        finally:
            torch.set_num_threads(threads)
        return maps


def _state_digest(backbone: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(backbone.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@functools.lru_cache(maxsize=2)
def load_embedder(config_json: str, device: str) -> Embedder:
    """Kept by a process for all its shards and cycles."""
    return Embedder(RunConfig.model_validate_json(config_json), device)

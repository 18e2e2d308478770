"""Changes to the feature maps that enter a head, so that passes over one image differ while its backbone is computed once.

Dropout on features: Gupte et al., TMLR 2024, Revisiting Active Learning in the Era of Vision
Foundation Models (DropQuery). Noise on features: after Kim et al., NeurIPS 2025 (arXiv 2510.22229),
whose passes differ by the noise that a diffusion model adds to an image before it gives features;
a backbone of another kind has no such noise, so here it is added to what the backbone gives.

What a pass changes follows from (seed, cycle, number of the pass) alone and is the same for every
image, as the masks of `models/dropout.py` are: one pass is one sample of the network.
"""

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ray_al.core.seeding import generator
from ray_al.models.split import Maps


class PassKey(NamedTuple):
    """What the draws of a pass follow from."""

    seed: int
    cycle: int
    number: int


class MapChange(ABC):
    """How the maps of one pass differ from what the backbone gave."""

    def __call__(self, maps: Maps, key: PassKey) -> Maps:
        """New maps (N, c, h, w) of the same types; what is made of one image depends on no other."""
        return tuple(self.change(one, key, place) for place, one in enumerate(maps))

    @abstractmethod
    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """One map (N, c, h, w) changed; `place` is its number among the maps, from fine to coarse."""


@dataclass(frozen=True)
class MapDropout(MapChange):
    """Whole channels become 0 with a probability, and the rest is divided by what is left.

    Attributes:
        probability: of a channel to be dropped.
    """

    probability: float

    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """As `MapChange.change`."""
        drawn = generator("feature dropout", *key, place).random(values.shape[1])
        mask = torch.from_numpy(drawn >= self.probability).float() / (1 - self.probability)
        return values * mask.to(values).view(-1, 1, 1)


@dataclass(frozen=True)
class MapNoise(MapChange):
    """Normal noise is added to every value.

    Attributes:
        strength: its standard deviation, in standard deviations of the channel over the image's
            cells. A channel that is the same everywhere in an image stays as it is.
    """

    strength: float

    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """As `MapChange.change`."""
        _, channels, height, width = values.shape
        noise = _normal(key, place, (channels, height, width)).to(values.device)
        exact = values.float()
        spread = exact.std((2, 3), correction=0, keepdim=True)
        return (exact + self.strength * spread * noise).to(values.dtype)


@functools.lru_cache(maxsize=64)
def _normal(key: PassKey, place: int, shape: tuple[int, ...]) -> torch.Tensor:
    """float32 `shape`, standard normal; kept, as every batch of a pass asks for it."""
    drawn = generator("feature noise", *key, place).standard_normal(shape, dtype="float32")
    return torch.from_numpy(drawn)

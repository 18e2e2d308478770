"""Change the feature maps that enter a head.

Several passes over an image thus differ, although its backbone is computed once.

Dropout on features: Gupte et al., "Revisiting Active Learning in the Era of Vision Foundation
Models" (DropQuery), TMLR 2024. Noise on features: after Kim et al., NeurIPS 2025 (arXiv
2510.22229), whose passes differ by the noise that a diffusion model adds to an image before it
computes features. Other backbones add no such noise, so here it is added to their features.

The change of a pass follows from (seed, cycle, number of the pass) alone and is the same for every
image, as are the masks of `models/dropout.py`: one pass is one sample of the network.
"""

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ray_al.core.seeding import generator
from ray_al.models.split import Maps


class PassKey(NamedTuple):
    """Identifies a pass; its random draws follow from these numbers."""

    seed: int
    cycle: int
    number: int


class MapChange(ABC):
    """Changes the maps of a backbone for one pass."""

    def __call__(self, maps: Maps, key: PassKey) -> Maps:
        """Return new maps (N, c, h, w) of the same types; images do not affect one another."""
        return tuple(self.change(values, key, place) for place, values in enumerate(maps))

    @abstractmethod
    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """Return one map (N, c, h, w) changed; `place` is its number, from fine to coarse."""


@dataclass(frozen=True)
class MapDropout(MapChange):
    """Sets whole channels to 0 with a probability p and divides the others by 1 - p.

    Attributes:
        probability: of a channel to be dropped.
    """

    probability: float

    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """See `MapChange.change`."""
        drawn = generator("feature dropout", *key, place).random(values.shape[1])
        mask = torch.from_numpy(drawn >= self.probability).float() / (1 - self.probability)
        return values * mask.to(values).view(-1, 1, 1)


@dataclass(frozen=True)
class MapNoise(MapChange):
    """Adds normal noise to every value.

    Attributes:
        strength: standard deviation of the noise, in standard deviations of the channel over the
            cells of the image. A channel that is constant in an image stays as it is.
    """

    strength: float

    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """See `MapChange.change`."""
        _, channels, height, width = values.shape
        noise = _normal(key, place, (channels, height, width)).to(values.device)
        exact = values.float()
        spread = exact.std((2, 3), correction=0, keepdim=True)
        return (exact + self.strength * spread * noise).to(values.dtype)


@functools.lru_cache(maxsize=64)
def _normal(key: PassKey, place: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return float32 `shape`, standard normal; cached, as every batch of a pass asks for it."""
    drawn = generator("feature noise", *key, place).standard_normal(shape, dtype="float32")
    return torch.from_numpy(drawn)

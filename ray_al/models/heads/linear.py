"""A linear classifier of every cell, which shows how good the features themselves are.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop
2017.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.section import Number
from ray_al.core.variants import Head

if TYPE_CHECKING:
    from torch import nn


class LinearHead(Head):
    """A 1x1 convolution, which gives logits at the size of the finest map that it reads."""

    kind: Literal["linear"] = "linear"
    hidden_layer: ClassVar[str] = "joined"
    maps: Annotated[tuple[Number, ...], Field(min_length=1)] | None = None
    """Numbers of the maps that the head reads, from 0; null reads all."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a channel is dropped in training."""

    def build(self, channels: Sequence[int], num_classes: int) -> "nn.Module":
        """Build the network; see `Head.build`."""
        from ray_al.models.networks.linear import Linear  # torch, which settings alone do not need

        chosen = tuple(range(len(channels))) if self.maps is None else self.maps
        if max(chosen) >= len(channels) or list(chosen) != sorted(set(chosen)):
            raise ConfigError(
                f"model.head.maps: {list(chosen)}; model.backbone gives the {len(channels)} maps 0 "
                f"to {len(channels) - 1}; name some of these, from fine to coarse, each once"
            )
        return Linear(channels, num_classes, chosen, self.dropout)

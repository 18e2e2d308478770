"""A linear classifier of every cell: how much the features themselves tell.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop 2017.
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
    """A 1x1 convolution; logits come at the finest map that it reads."""

    kind: Literal["linear"] = "linear"
    hidden_layer: ClassVar[str] = "joined"
    maps: Annotated[tuple[Number, ...], Field(min_length=1)] | None = None
    """Numbers of the maps that the head reads, from 0; null reads all."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a channel is dropped in training."""

    def build(self, channels: Sequence[int], num_classes: int) -> "nn.Module":
        """As `Head.build`."""
        from ray_al.models.networks.linear import Linear  # torch, which settings alone do not need

        chosen = tuple(range(len(channels))) if self.maps is None else self.maps
        if max(chosen) >= len(channels) or list(chosen) != sorted(set(chosen)):
            message = f"model.head.maps: {list(chosen)}; model.backbone gives the {len(channels)} maps 0 to {len(channels) - 1}"
            raise ConfigError(f"{message}; name some of these, from fine to coarse, each once")
        return Linear(channels, num_classes, chosen, self.dropout)

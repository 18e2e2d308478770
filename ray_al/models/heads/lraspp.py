"""Lite reduced atrous spatial pyramid pooling.

Howard et al., "Searching for MobileNetV3", ICCV 2019, section 6.4 and figure 10, as torchvision
builds it: the mean of the image weights the channels of the coarse map, whose logits are added to
those of the fine map.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.section import Count, Number
from ray_al.core.variants import Head

if TYPE_CHECKING:
    from torch import nn


class LrasppHead(Head):
    """A head over two maps, which gives logits at the size of the finer one."""

    kind: Literal["lraspp"] = "lraspp"
    hidden_layer: ClassVar[str] = "cbr"
    width: Count = 128
    """Number of channels in the coarse branch."""
    maps: tuple[Number, Number] | None = None
    """Numbers of the fine and of the coarse map, from 0; null takes the second (of two maps, the
    first) and the last.
    """
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a channel of the coarse branch is dropped before the last layer in training.
    """

    def build(self, channels: Sequence[int], num_classes: int) -> "nn.Module":
        """Build the network; see `Head.build`."""
        from ray_al.models.networks.lraspp import Lraspp  # torch, which settings alone do not need

        count = len(channels)
        if count < 2:
            raise ConfigError(
                f"model.head.kind 'lraspp': it reads two maps, model.backbone gives {count}; name "
                "more layers there, or choose linear or fpn"
            )
        fine, coarse = self.maps or (min(1, count - 2), count - 1)
        if not fine < coarse < count:
            raise ConfigError(
                f"model.head.maps: {fine} and {coarse} of the {count} maps 0 to {count - 1} that "
                "model.backbone gives; name a finer and then a coarser one of these"
            )
        return Lraspp(channels, num_classes, self.width, (fine, coarse), self.dropout)

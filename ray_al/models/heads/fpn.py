"""A small feature pyramid.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017: lateral 1x1 convolutions and
a sum from coarse to fine. The smoothing is a depthwise 3x3 convolution here, and the mean of the
image is added at the coarsest map.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.section import Count
from ray_al.core.variants import Head

if TYPE_CHECKING:
    from torch import nn


class FpnHead(Head):
    """A pyramid over all maps, which gives logits at the size of the finest one."""

    kind: Literal["fpn"] = "fpn"
    hidden_layer: ClassVar[str] = "smooth.0"
    width: Count = 64
    """Number of channels in the pyramid."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability that a channel is dropped before the last layer in training."""

    def build(self, channels: Sequence[int], num_classes: int) -> "nn.Module":
        """Build the network; see `Head.build`."""
        from ray_al.models.networks.fpn import Fpn  # torch, which settings alone do not need

        return Fpn(channels, num_classes, self.width, self.dropout)

"""Networks in two parts: a backbone returns feature maps, and a head turns them into logits."""

from collections.abc import Iterable

import torch
from torch import nn

Maps = tuple[torch.Tensor, ...]
"""Feature maps (N, c, h, w), from fine to coarse."""

COARSEST = "coarsest"
"""Name of the layer, in a network and in its head alone, through which the coarsest map passes."""

BACKBONE_MAPS = "backbone_maps"
"""The value of `strategy.feature_layer` for the two coarsest maps; no layer has this name."""


class SplitNetwork(nn.Module):
    """A network in two parts; the first of them may be frozen.

    A subclass calls its backbone (`maps`) and its head (`logits`), and returns the head as a
    network of its own (`head_network`).

    Args:
        backbone: computes the maps.
        is_frozen: whether the backbone keeps its weights and its batch norm's statistics.
    """

    def __init__(self, backbone: nn.Module, *, is_frozen: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.is_frozen = is_frozen
        self.coarsest = nn.Identity()
        self._kept: tuple[str, ...] = ()
        if is_frozen:
            backbone.requires_grad_(False)
            self.keep_statistics(["backbone"])

    def keep_statistics(self, names: Iterable[str]) -> None:
        """Keep the modules of these names in evaluation mode, whatever the mode of the network."""
        self._kept = (*self._kept, *names)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SplitNetwork":
        """Switch to training or evaluation mode, except for modules of `keep_statistics`."""
        super().train(mode)
        for name in self._kept:
            self.get_submodule(name).eval()
        return self

    @property
    def hidden_layer(self) -> str | None:
        """The name of the layer whose output the last layer reads; None if it is not known."""
        raise NotImplementedError

    def maps(self, images: torch.Tensor) -> Maps:
        """Return the feature maps (N, c, h, w) of images (N, 3, H, W), from fine to coarse."""
        raise NotImplementedError

    def logits(self, maps: Maps) -> torch.Tensor:
        """Return logits (N, C, h, w) of feature maps."""
        raise NotImplementedError

    def head_network(self) -> nn.Module:
        """Return the head as a network from maps to logits.

        It shares the layers of this network under the same names, and can be traced, folded, and
        given dropout or taps as a whole network can.
        """
        raise NotImplementedError

    def forward(self, inputs: torch.Tensor | Maps) -> torch.Tensor:
        """Return logits (N, C, h, w) of images (N, 3, H, W), or of their maps."""
        return self.logits(inputs if isinstance(inputs, tuple) else self.maps(inputs))


def through(coarsest: nn.Module, maps: Maps, num_maps: int) -> Maps:
    """Return the maps with the last of them passed through the layer `coarsest`.

    A traced tuple does not know its length, so `num_maps` gives it.
    """
    return (*(maps[number] for number in range(num_maps - 1)), coarsest(maps[num_maps - 1]))


def trained_part(network: nn.Module) -> nn.Module:
    """Return the part that is computed for every batch: the head if the network is frozen."""
    if isinstance(network, SplitNetwork) and network.is_frozen:
        return network.head_network()
    return network

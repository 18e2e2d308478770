"""Networks in two parts: a backbone that gives feature maps, and a head that makes logits of them."""

from collections.abc import Iterable

import torch
from torch import nn

Maps = tuple[torch.Tensor, ...]

COARSEST = "coarsest"
"""Name of the layer, in a network and in its head alone, through which the coarsest map passes."""


BACKBONE_MAPS = "backbone_maps"
"""What `strategy.feature_layer` calls the two coarsest maps together; no layer has this name."""


class SplitNetwork(nn.Module):
    """A network in two parts, of which the first may keep its weights.

    A subclass says how its backbone is called (`maps`), what follows (`logits`), and gives the second
    part as a network of its own (`head_network`).

    Args:
        backbone: what comes before the maps.
        is_frozen: whether the backbone keeps its weights and its batch norm's statistics.
    """

    def __init__(self, backbone: nn.Module, *, is_frozen: bool) -> None:
        super().__init__()
        self.backbone, self.is_frozen = backbone, is_frozen
        self.coarsest = nn.Identity()
        self._kept: tuple[str, ...] = ()
        if is_frozen:
            backbone.requires_grad_(False)
            self.keep_statistics(["backbone"])

    def keep_statistics(self, names: Iterable[str]) -> None:
        """Leave the modules of these names in evaluation mode, whatever the mode of the network."""
        self._kept = (*self._kept, *names)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SplitNetwork":
        """Switch to training (or evaluation) mode; what is kept stays in evaluation mode."""
        super().train(mode)
        for name in self._kept:
            self.get_submodule(name).eval()
        return self

    @property
    def hidden_layer(self) -> str | None:
        """The name of the layer that the last one reads; None where it is not known."""
        raise NotImplementedError

    def maps(self, images: torch.Tensor) -> Maps:
        """Feature maps (N, c, h, w) of images (N, 3, H, W), from fine to coarse."""
        raise NotImplementedError

    def logits(self, maps: Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from maps."""
        raise NotImplementedError

    def head_network(self) -> nn.Module:
        """From a tuple of maps to logits: what is behind the backbone, with this network's layers under their names here.

        It can be traced, folded, and given dropout or taps as a whole network can.
        """
        raise NotImplementedError

    def forward(self, inputs: torch.Tensor | Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from images (N, 3, H, W), or from their maps."""
        return self.logits(inputs if isinstance(inputs, tuple) else self.maps(inputs))


def through(coarsest: nn.Module, maps: Maps, num_maps: int) -> Maps:
    """The maps, the last of them passed through a layer; without asking for their number, which a traced tuple does not know."""
    return (*(maps[number] for number in range(num_maps - 1)), coarsest(maps[num_maps - 1]))


def trained_part(network: nn.Module) -> nn.Module:
    """The part that is computed for every batch: of a frozen network its head."""
    return (
        network.head_network()
        if isinstance(network, SplitNetwork) and network.is_frozen
        else network
    )

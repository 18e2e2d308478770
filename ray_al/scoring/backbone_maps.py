"""Return the maps of a backbone as features, in addition to the logits of its head."""

import torch
from torch import nn
from torch.nn import functional

from ray_al.models.feature_noise import MapChange, PassKey
from ray_al.models.split import SplitNetwork
from ray_al.scoring.inputs import NetworkInput
from ray_al.scoring.passes.networks import FeaturePasses
from ray_al.scoring.prepare import Resolved

NUM_MAPS = 2
"""How many of the coarsest maps are features."""


class _Unchanged(MapChange):
    def change(self, values: torch.Tensor, key: PassKey, place: int) -> torch.Tensor:
        """Return the values as they are."""
        return values


class MapsNetwork(nn.Module):
    """Gives logits, and the two coarsest maps that enter the head as one, at the finer resolution.

    Args:
        network: from `build_model`, with its weights, not yet prepared; it is changed in place.
        precision: as for `prepare_network`.
        device: where to compute.

    Attributes:
        groups: channels of each of these maps, known after the first call.
    """

    def __init__(
        self, network: SplitNetwork, precision: Resolved, device: torch.device | str
    ) -> None:
        super().__init__()
        self.parts = FeaturePasses(network, _Unchanged(), precision, device, seed=0, cycle=0)
        self.groups: tuple[int, ...] = ()

    def forward(self, given: NetworkInput) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (N, C, h, w) and features (N, D, h', w'), float32.

        Args:
            given: images (N, 3, H, W), or maps for a frozen network.
        """
        maps = self.parts.prefix(given)
        last = [values.float() for values in maps[-NUM_MAPS:]]
        self.groups = tuple(values.shape[1] for values in last)
        size = last[0].shape[-2:]
        coarser = (
            functional.interpolate(values, size=size, mode="bilinear", align_corners=False)
            for values in last[1:]
        )
        return self.parts.suffix(maps, None), torch.cat([last[0], *coarser], dim=1)

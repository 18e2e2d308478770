"""Provide the base of passes that differ in the maps entering the head."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ray_al.core.errors import ConfigError
from ray_al.core.families.passes import PassKind, PassNetwork

if TYPE_CHECKING:
    from torch import nn

    from ray_al.models.feature_noise import MapChange

# PyTorch is imported only when passes are made: commands that just read a configuration, which
# names a kind, start faster without it.


class ChangedMaps(PassKind):
    """Passes that change the backbone's maps; the backbone is computed once for all of them."""

    changes_maps: ClassVar[bool] = True

    @abstractmethod
    def change(self) -> "MapChange":
        """Return the change that a pass makes to the maps."""
        raise NotImplementedError

    def check_network(self, network: "nn.Module") -> None:
        """Refuse a network if the end of its backbone is not known."""
        from ray_al.models.split import SplitNetwork

        if not isinstance(network, SplitNetwork):
            raise ConfigError(
                f"strategy.passes.kind={self.kind!r}: the backbone of this model "
                "is not known; use dropout with strategy.passes.places, or model.kind=composed"
            )

    def open(
        self, network: "nn.Module", precision: Any, device: Any, *, seed: int, cycle: int
    ) -> PassNetwork:
        """Return the network of the passes; see `PassKind.open`."""
        from ray_al.models.split import SplitNetwork
        from ray_al.scoring.passes.networks import FeaturePasses

        self.check_network(network)
        assert isinstance(network, SplitNetwork)
        return FeaturePasses(network, self.change(), precision, device, seed=seed, cycle=cycle)

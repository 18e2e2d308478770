"""What passes share that differ in the maps which enter the head."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ray_al.core.errors import ConfigError
from ray_al.core.families.passes import PassKind, PassNetwork

if TYPE_CHECKING:
    from torch import nn

    from ray_al.models.feature_noise import MapChange

# PyTorch is imported where passes are made: a configuration names a kind in commands that need none of it.


class ChangedMaps(PassKind):
    """Passes that change the backbone's maps, each in its own way, so that the backbone is computed once."""

    changes_maps: ClassVar[bool] = True

    @abstractmethod
    def change(self) -> "MapChange":
        """What a pass does to the maps."""
        raise NotImplementedError

    def check_network(self, network: "nn.Module") -> None:
        """As `PassKind.check_network`: where the backbone ends must be known."""
        from ray_al.models.split import SplitNetwork

        if not isinstance(network, SplitNetwork):
            raise ConfigError(
                f"strategy.passes.kind={self.kind!r}: the backbone of this model "
                "is not known; use dropout with strategy.passes.places, or model.kind=composed"
            )

    def open(
        self, network: "nn.Module", precision: Any, device: Any, *, seed: int, cycle: int
    ) -> PassNetwork:
        """As `PassKind.open`."""
        from ray_al.models.split import SplitNetwork
        from ray_al.score.passes.networks import FeaturePasses

        self.check_network(network)
        assert isinstance(network, SplitNetwork)
        return FeaturePasses(network, self.change(), precision, device, seed=seed, cycle=cycle)

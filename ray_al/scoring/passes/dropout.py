"""Passes that differ in what dropout drops."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ray_al.core.families.passes import PassKind, PassNetwork

if TYPE_CHECKING:
    from torch import nn

# PyTorch is imported only when passes are made: commands that just read a configuration, which
# names a kind, start faster without it.


class McDropout(PassKind):
    """Dropout at scoring time; a pass uses the same masks for every image."""

    kind: Literal["dropout"] = "dropout"
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability that a channel is dropped; null takes the network's own, and 0.5 in layers that
    are added.
    """
    places: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Modules behind which dropout is added; null takes the network's own dropout layers, or adds
    one behind the head's last hidden features.
    """

    paper: ClassVar[str] = "MC-dropout: Gal and Ghahramani, ICML 2016"

    def check_network(self, network: "nn.Module") -> None:
        """Refuse a network without the named places."""
        from ray_al.models.dropout import with_dropout

        with_dropout(network, self.places, self.probability)

    def open(
        self, network: "nn.Module", precision: Any, device: Any, *, seed: int, cycle: int
    ) -> PassNetwork:
        """Return the network of the passes; see `PassKind.open`."""
        from ray_al.models.dropout import with_dropout
        from ray_al.models.split import trained_part
        from ray_al.scoring.passes.networks import StochasticNetwork
        from ray_al.scoring.prepare import prepare_network

        model, _ = with_dropout(network, self.places, self.probability)
        return StochasticNetwork(
            prepare_network(trained_part(model), precision, device), seed, cycle
        )

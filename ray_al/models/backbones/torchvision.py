"""Classification networks of torchvision."""

import difflib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.variants import Backbone

if TYPE_CHECKING:
    from torch import nn


class TorchvisionBackbone(Backbone):
    """Any classification network of torchvision, cut at named layers.

    It is cut by `torchvision.models.feature_extraction.create_feature_extractor`. Imports are
    within functions because they import torch, which settings alone do not need.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str = "mobilenet_v2"
    """Name of a classification network of torchvision."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the layers whose outputs are the maps; null takes the last layer of each stride of
    4, 8, 16 and 32.
    """

    def build(self, weights: str) -> "nn.Module":
        """Build the network; see `Backbone.build`."""
        from torchvision.models.feature_extraction import create_feature_extractor

        from ray_al.models.networks.torchvision import MapExtractor, last_layers, some_layers
        from ray_al.models.weights import load_backbone_state

        network = self._network(weights)
        if self.layers is not None:
            self._check_layers(network, self.layers)
        layers = self.layers or last_layers(network)
        if not layers:
            raise ConfigError(
                f"model.backbone.layers: {self.name} has no layers that could be found; name some "
                f"of {some_layers(network)}"
            )
        extractor = create_feature_extractor(network, {layer: layer for layer in layers})
        if weights not in ("none", "backbone"):
            load_backbone_state(network, weights, set(extractor.state_dict()))
        return MapExtractor(extractor)

    def _network(self, weights: str) -> "nn.Module":
        import torchvision
        from torchvision.models import get_model, list_models

        known = list_models(module=torchvision.models)
        if self.name not in known:
            near = difflib.get_close_matches(self.name, known, n=3, cutoff=0.4) or known
            raise ConfigError(
                f"model.backbone.name {self.name!r}: torchvision has no such classification "
                f"network; name one of it, such as {', '.join(near)}"
            )
        pretrained = "DEFAULT" if weights == "backbone" else None
        try:
            network: nn.Module = get_model(self.name, weights=pretrained)
        except OSError as error:
            raise ConfigError(
                f"model.weights {weights!r}: download failed ({error}); download it where there is "
                "a network, or give a file's path, or 'none'"
            ) from None
        return network

    def _check_layers(self, network: "nn.Module", layers: tuple[str, ...]) -> None:
        """Refuse layers that the network does not have."""
        from torchvision.models.feature_extraction import get_graph_node_names

        from ray_al.models.networks.torchvision import some_layers

        names = set()
        for node in get_graph_node_names(network, suppress_diff_warning=True)[1]:
            parts = node.split(".")
            names |= {".".join(parts[: length + 1]) for length in range(len(parts))}
        for layer in layers:
            if layer not in names:
                near = difflib.get_close_matches(layer, sorted(names), n=3, cutoff=0.5)
                raise ConfigError(
                    f"model.backbone.layers {layer!r}: {self.name} has no such layer; name one of "
                    f"it, such as {', '.join(near) or some_layers(network)}"
                )

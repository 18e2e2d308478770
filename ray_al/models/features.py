"""Read features of an inner layer together with the logits, for strategies that compare regions."""

from contextvars import ContextVar

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.models.foreign import ForeignSegmenter
from ray_al.models.layers import TraceLeaf, candidate_layers, check_layer, put_behind
from ray_al.models.split import BACKBONE_MAPS, COARSEST, SplitNetwork

_tapped: ContextVar[dict[str, torch.Tensor]] = ContextVar("_tapped")
"""Outputs of tapped layers in the forward that this thread computes, by layer.

Several threads call one network, so the tap cannot keep them on the module."""


class FeatureTap(TraceLeaf):
    """Passes a layer's output on and gives a copy to the `FeatureNetwork` around it.

    It is a copy because the next layer may work in place.

    Args:
        layer: name of the layer.
    """

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values (N, D, h, w) as they are."""
        if not isinstance(values, torch.Tensor) or values.ndim != 4:
            seen = (
                f"tensor of shape {tuple(values.shape)}"
                if isinstance(values, torch.Tensor)
                else type(values).__name__
            )
            raise ConfigError(
                f"strategy.feature_layer: the output of {self.layer!r} is a {seen}; name a layer "
                "that gives (N, D, h, w)"
            )
        _tapped.get()[self.layer] = values.clone()
        return values


def feature_layer(model: nn.Module, name: str | None) -> str:
    """Return the name of the layer whose output holds the features of regions.

    Args:
        model: from `build_model`.
        name: of a layer. `backbone` is the coarsest map of the network's backbone, which pretrained
            weights make useful before anything is trained; `backbone_maps` are its two coarsest
            maps. None is the head's last hidden layer (`SplitNetwork.hidden_layer`).

    Raises:
        ConfigError: an unknown name, with the nearest ones; or no name, if the hidden layer of the
            network is not known.
    """
    candidates = ", ".join(candidate_layers(model))
    if name == BACKBONE_MAPS:
        if isinstance(model, SplitNetwork):
            return name
        raise ConfigError(
            f"strategy.feature_layer {name!r}: the backbone of this model is not known; name a "
            f"layer of it, such as {candidates}"
        )
    if isinstance(model, SplitNetwork):
        name = {None: model.hidden_layer, "backbone": COARSEST}.get(name, name)
    if name is None:
        is_foreign = isinstance(model, ForeignSegmenter)
        kind = f"model.name {model.name!r}" if is_foreign else type(model).__name__
        raise ConfigError(
            f"strategy.feature_layer: none is known for {kind}; name one of it, such as "
            f"{candidates}"
        )
    return check_layer(model, name, "strategy.feature_layer")


class FeatureNetwork(nn.Module):
    """A network that returns features with its logits.

    `prepare_network` takes it as it takes the model alone, and keeps the output of the layer.

    Args:
        model: from `build_model`, not yet prepared; it is changed in place.
        layer: from `feature_layer`. If it is called more than once in a forward, its last output is
            taken.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.layer = layer
        put_behind(model, layer, FeatureTap(layer))
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and features of images (N, 3, H, W).

        Returns:
            (N, C, h, w) and (N, D, h', w'), each at its own resolution.
        """
        seen: dict[str, torch.Tensor] = {}
        token = _tapped.set(seen)
        try:
            logits = self.model(images)
        finally:
            _tapped.reset(token)
        if self.layer not in seen:
            raise ConfigError(
                f"strategy.feature_layer: the network does not call {self.layer!r}; name another "
                "layer"
            )
        return logits, seen[self.layer]

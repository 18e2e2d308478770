"""Features of a network's inner layer beside its logits, for strategies that compare regions."""

from contextvars import ContextVar

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.models.foreign import ForeignSegmenter
from ray_al.models.layers import KeptWhole, candidate_layers, check_layer, put_behind
from ray_al.models.split import BACKBONE_MAPS, COARSEST, SplitNetwork

_tapped: ContextVar[dict[str, torch.Tensor]] = ContextVar("_tapped")
"""What the taps saw in the forward that this thread computes, by layer."""


class FeatureTap(KeptWhole):
    """Lets a layer's output pass and hands a copy to the `FeatureNetwork` around it, as what comes next may work in place."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The values as they are, of shape (N, D, h, w)."""
        if not isinstance(values, torch.Tensor) or values.ndim != 4:
            seen = (
                f"tensor of shape {tuple(values.shape)}"
                if isinstance(values, torch.Tensor)
                else type(values).__name__
            )
            raise ConfigError(
                f"strategy.feature_layer: the output of {self.layer!r} is a {seen}; name a layer that gives (N, D, h, w)"
            )
        _tapped.get()[self.layer] = values.clone()
        return values


def feature_layer(model: nn.Module, name: str | None) -> str:
    """The name of the layer whose output is a region's features.

    Args:
        model: from `build_model`.
        name: of a layer; `backbone` is the coarsest map of the network's backbone, which pretrained weights make useful before
            anything is trained; `backbone_maps` its two coarsest maps together; None the head's last hidden layer (`classifier.cbr` of
            LR-ASPP, else what the last 1x1 convolution reads).

    Raises:
        ConfigError: unknown name, with the nearest ones; no name where the network does not tell its hidden layer.
    """
    if name == BACKBONE_MAPS:
        if isinstance(model, SplitNetwork):
            return name
        near = ", ".join(candidate_layers(model))
        raise ConfigError(
            f"strategy.feature_layer {name!r}: the backbone of this model is not known; name a layer of it, such as {near}"
        )
    if isinstance(model, SplitNetwork):
        name = {None: model.hidden_layer, "backbone": COARSEST}.get(name, name)
    if name is None:
        kind = (
            f"model.name {model.name!r}"
            if isinstance(model, ForeignSegmenter)
            else type(model).__name__
        )
        raise ConfigError(
            f"strategy.feature_layer: none is known for {kind}; name one of it, such as {', '.join(candidate_layers(model))}"
        )
    return check_layer(model, name, "strategy.feature_layer")


class FeatureNetwork(nn.Module):
    """A network that gives features with its logits. `prepare_network` takes it as it takes the model alone, and keeps the layer's output.

    Args:
        model: from `build_model`, not yet prepared; it is changed in place.
        layer: from `feature_layer`; of a layer that is called more than once in a forward the last output counts.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.layer = layer
        put_behind(model, layer, FeatureTap(layer))
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, C, h, w) and features (N, D, h', w'), each at its own resolution, from images (N, 3, H, W)."""
        seen: dict[str, torch.Tensor] = {}
        token = _tapped.set(seen)
        try:
            logits = self.model(images)
        finally:
            _tapped.reset(token)
        if self.layer not in seen:
            raise ConfigError(
                f"strategy.feature_layer: the network does not call {self.layer!r}; name another layer"
            )
        return logits, seen[self.layer]

"""Classification networks of torchvision."""

import difflib
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.variants import Backbone
from ray_al.models.weights import load_backbone_state

PROBE_SIDE = 128
STRIDES = (4, 8, 16, 32)


class TorchvisionBackbone(Backbone):
    """Any classification network of torchvision, cut at named layers.

    Source of the cut: `torchvision.models.feature_extraction.create_feature_extractor`.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str = "mobilenet_v2"
    """Name of a classification network of torchvision."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the layers whose outputs are the maps; None: see `last_layers`."""

    def build(self, weights: str) -> nn.Module:
        """As `Backbone.build`."""
        from torchvision.models.feature_extraction import create_feature_extractor

        network = self._network(weights)
        if self.layers is not None:
            self._check_layers(network, self.layers)
        layers = self.layers or last_layers(network)
        if not layers:
            raise ConfigError(f"model.backbone.layers: {self.name} has no layers that could be found; name some of {_some(network)}")
        extractor = create_feature_extractor(network, {layer: layer for layer in layers})
        if weights not in ("none", "backbone"):
            load_backbone_state(network, weights, set(extractor.state_dict()))
        return MapExtractor(extractor)

    def _network(self, weights: str) -> nn.Module:
        import torchvision
        from torchvision.models import get_model, list_models

        known = list_models(module=torchvision.models)
        if self.name not in known:
            near = difflib.get_close_matches(self.name, known, n=3, cutoff=0.4) or known
            raise ConfigError(
                f"model.backbone.name {self.name!r}: torchvision has no such classification network; name one of it, such as {', '.join(near)}"
            )
        try:
            network: nn.Module = get_model(self.name, weights="DEFAULT" if weights == "backbone" else None)
        except OSError as error:
            message = f"model.weights {weights!r}: download failed ({error})"
            raise ConfigError(f"{message}; fetch it where there is a network, or give a file's path, or 'none'") from None
        return network

    def _check_layers(self, network: nn.Module, layers: tuple[str, ...]) -> None:
        """Refuse layers that are not there."""
        from torchvision.models.feature_extraction import get_graph_node_names

        nodes = get_graph_node_names(network, suppress_diff_warning=True)[1]
        names = {".".join(node.split(".")[:length]) for node in nodes for length in range(1, node.count(".") + 2)}
        for layer in layers:
            if layer not in names:
                near = difflib.get_close_matches(layer, sorted(names), n=3, cutoff=0.5) or [_some(network)]
                raise ConfigError(f"model.backbone.layers {layer!r}: {self.name} has no such layer; name one of it, such as {', '.join(near)}")


def last_layers(network: nn.Module) -> tuple[str, ...]:
    """The last layer of each stride of 4, 8, 16 and 32 that a network has, from fine to coarse.

    A layer counts that holds a convolution which looks beyond one pixel, so that the 1x1 convolutions
    before a classifier do not; and one that halves its input once at most, so that a whole network
    does not.
    """
    found: dict[int, str] = {}
    handles = []

    def look(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            before, after = _stride(inputs[0] if inputs else None), _stride(output)
            if after in STRIDES and before is not None and before * 2 >= after and _looks_around(module):
                found[after] = name

        return module.register_forward_hook(hook)

    handles = [look(name, module) for name, module in network.named_modules() if name]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    except (RuntimeError, AssertionError, ValueError):
        found.clear()  # it takes images of other sizes alone, of which the strides are not known
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    return tuple(found[stride] for stride in sorted(found))


def _stride(value: Any) -> int | None:
    """How much smaller than the image a map is; None of anything else."""
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or value.shape[2] != value.shape[3] or not value.shape[2]:
        return None
    stride, rest = divmod(PROBE_SIDE, value.shape[2])
    return stride if rest == 0 else None


def _looks_around(module: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1 for layer in module.modules())


def _some(network: nn.Module) -> str:
    names = [name for name, _ in network.named_modules() if name and name.count(".") < 2]
    return ", ".join(names[:12])


class MapExtractor(nn.Module):
    """A feature extractor whose maps come as a tuple, from fine to coarse."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps (N, c, h, w) of images (N, 3, H, W)."""
        return tuple(self.extractor(images).values())

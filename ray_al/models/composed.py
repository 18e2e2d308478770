"""Build and check networks composed of a backbone and a head."""

from collections.abc import Sequence

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.model import ComposedConfig
from ray_al.core.seeding import seed_of
from ray_al.models.channels import RGB, widen
from ray_al.models.messages import shortened
from ray_al.models.split import Maps, SplitNetwork, through


class ComposedHead(nn.Module):
    """The head of a composed network; its layers keep their names.

    Args:
        head: from maps to logits.
        coarsest: the layer through which the coarsest map passes.
        num_maps: how many maps the backbone gives.
    """

    def __init__(self, head: nn.Module, coarsest: nn.Module, num_maps: int) -> None:
        super().__init__()
        self.head = head
        self.coarsest = coarsest
        self.num_maps = num_maps

    def forward(self, maps: Maps) -> torch.Tensor:
        """Return logits (N, C, h, w) of maps."""
        logits: torch.Tensor = self.head(through(self.coarsest, maps, self.num_maps))
        return logits


class ComposedNetwork(SplitNetwork):
    """A backbone followed by a head.

    Args:
        backbone: from images (N, 3, H, W) to maps.
        head: from maps to logits.
        num_maps: how many maps the backbone gives.
        hidden_layer: the name, inside the head, of the layer whose output its last layer reads.
        is_frozen: whether the backbone keeps its weights and its batch norm's statistics.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        num_maps: int,
        *,
        hidden_layer: str | None,
        is_frozen: bool,
    ) -> None:
        super().__init__(backbone, is_frozen=is_frozen)
        self.head = head
        self.num_maps = num_maps
        self._hidden = hidden_layer

    @property
    def hidden_layer(self) -> str | None:
        """See `SplitNetwork.hidden_layer`."""
        return f"head.{self._hidden}" if self._hidden is not None else None

    def maps(self, images: torch.Tensor) -> Maps:
        """See `SplitNetwork.maps`."""
        maps: Maps = self.backbone(images)
        return maps

    def logits(self, maps: Maps) -> torch.Tensor:
        """See `SplitNetwork.logits`."""
        logits: torch.Tensor = self.head(through(self.coarsest, maps, self.num_maps))
        return logits

    def head_network(self) -> ComposedHead:
        """See `SplitNetwork.head_network`."""
        return ComposedHead(self.head, self.coarsest, self.num_maps)


def build_composed(
    model: ComposedConfig, num_classes: int, num_channels: int = RGB, *, load_weights: bool = True
) -> ComposedNetwork:
    """Build a network; see `build_model`.

    A frozen backbone always gets its weights: checkpoints of such a network hold the head alone.
    """
    needs_weights = load_weights or model.is_frozen
    backbone = build_composed_backbone(model, num_channels, load_weights=needs_weights)
    side = model.backbone.probe_side
    probe = probe_maps(backbone, (side, side), num_channels)
    head = model.head.build([values.shape[1] for values in probe], num_classes)
    network = ComposedNetwork(
        backbone, head, len(probe), hidden_layer=model.head.hidden_layer, is_frozen=model.is_frozen
    )
    if not isinstance(model.frozen, bool):
        _keep_stages(network, model.frozen, (1, num_channels, side, side))
    return network


def build_composed_backbone(
    model: ComposedConfig, num_channels: int = RGB, *, load_weights: bool = True
) -> nn.Module:
    """Build the backbone alone.

    Without pretrained weights it is random, and follows from its settings, not from torch's seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("backbone", model.backbone.model_dump_json()))
        weights = model.weights if load_weights else "none"
        backbone = model.backbone.build(weights)
        widen(backbone, num_channels, pretrained=weights != "none")
        return backbone


def check_composed(
    model: ComposedConfig, num_classes: int, size: tuple[int, int], num_channels: int = RGB
) -> None:
    """Check that images of `size` pass through a network and give logits of all classes.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    network = build_composed(model, num_classes, num_channels).eval()
    probe_maps(network.backbone, size, num_channels)
    head = f"model.head.kind {model.head.kind!r}"
    try:
        with torch.inference_mode():
            logits = network(torch.zeros(1, num_channels, *size))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        text = shortened(error)
        raise ConfigError(
            f"{head}: the maps of model.backbone do not pass through it: {text}; mend the head or "
            "choose another"
        ) from None
    if not isinstance(logits, torch.Tensor) or logits.ndim != 4 or logits.shape[1] != num_classes:
        seen = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError(
            f"{head}: it gives {seen}, and not logits (N, {num_classes}, h, w) of the data set's "
            f"{num_classes} classes; mend the head"
        )


def probe_maps(backbone: nn.Module, size: tuple[int, int], num_channels: int = RGB) -> Maps:
    """Return the maps of an empty image of `size` (height, width).

    Raises:
        ConfigError: the image does not pass through the backbone, or the output is no tuple of maps
            from fine to coarse.
    """
    height, width = size
    was_training = backbone.training
    try:
        with torch.no_grad():
            maps = backbone.eval()(torch.zeros(1, num_channels, height, width))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise ConfigError(
            f"model.backbone: an image of {height}x{width} pixels (data.image_size) does not pass "
            f"through it: {shortened(error)}; give a size that it takes, such as a multiple of its "
            "patches"
        ) from None
    backbone.train(was_training)
    _check_maps(maps)
    found: Maps = maps
    return found


def _check_maps(maps: object) -> None:
    """Refuse anything but a tuple of maps (N, c, h, w), from fine to coarse."""
    given = list(maps) if isinstance(maps, Sequence) else []
    is_map = [isinstance(values, torch.Tensor) and values.ndim == 4 for values in given]
    if not isinstance(maps, tuple) or not maps or not all(is_map):
        shapes = [tuple(values.shape) for values in given if isinstance(values, torch.Tensor)]
        seen = f"{type(maps).__name__} {shapes or ''}".strip()
        raise ConfigError(
            f"model.backbone: it gives a {seen}; its forward must return a tuple of maps of shape "
            "(N, c, h, w)"
        )
    areas = [values.shape[2] * values.shape[3] for values in given]
    if areas != sorted(areas, reverse=True):
        sizes = ", ".join(f"{values.shape[2]}x{values.shape[3]}" for values in given)
        raise ConfigError(
            f"model.backbone: its maps have {sizes} cells; name its layers from fine to coarse"
        )


def _keep_stages(network: ComposedNetwork, count: int, shape: tuple[int, int, int, int]) -> None:
    """Freeze the weights that the first `count` maps are computed from.

    They are found by a derivative, which works for any backbone. Modules all of whose weights are
    frozen stay in evaluation mode.

    Args:
        network: changed in place.
        count: number of maps, from the finest one.
        shape: (1, channels, height, width) of an image that passes through the backbone.

    Raises:
        ConfigError: the backbone does not give more maps than that.
    """
    if count >= network.num_maps:
        raise ConfigError(
            f"model.frozen: {count}; the backbone gives {network.num_maps} maps; give a number "
            "below that, or true if all of it keeps its weights"
        )
    backbone = network.backbone.eval()
    parameters = list(backbone.parameters())
    with torch.enable_grad():
        maps = backbone(torch.zeros(shape))[:count]
        total = sum(values.sum() for values in maps)
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    kept = {
        id(parameter)
        for parameter, gradient in zip(parameters, gradients, strict=True)
        if gradient is not None
    }
    for parameter in parameters:
        parameter.requires_grad_(id(parameter) not in kept)
    backbone.train(network.training)
    network.keep_statistics(
        name for name, module in network.named_modules() if _has_all(kept, module)
    )


def _has_all(kept: set[int], module: nn.Module) -> bool:
    """Return whether a module has parameters, and the identities of all of them are in `kept`."""
    own = list(module.parameters())
    return bool(own) and all(id(parameter) in kept for parameter in own)

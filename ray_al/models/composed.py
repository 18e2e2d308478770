"""Networks composed of a backbone and a head."""

from collections.abc import Sequence

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.model import ComposedConfig
from ray_al.core.seeding import seed_of
from ray_al.models.split import Maps, SplitNetwork, through


class ComposedHead(nn.Module):
    """The head of a composed network, under the names that its layers have there."""

    def __init__(self, head: nn.Module, coarsest: nn.Module, num_maps: int) -> None:
        super().__init__()
        self.head, self.coarsest, self.num_maps = head, coarsest, num_maps

    def forward(self, maps: Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from maps."""
        logits: torch.Tensor = self.head(through(self.coarsest, maps, self.num_maps))
        return logits


class ComposedNetwork(SplitNetwork):
    """A backbone and a head.

    Args:
        backbone: images (N, 3, H, W) -> maps.
        head: maps -> logits.
        num_maps: that the backbone gives.
        hidden_layer: the name inside the head of the layer that its last one reads.
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
        self.head, self.num_maps, self._hidden = head, num_maps, hidden_layer

    @property
    def hidden_layer(self) -> str | None:
        """As `SplitNetwork.hidden_layer`."""
        return f"head.{self._hidden}" if self._hidden is not None else None

    def maps(self, images: torch.Tensor) -> Maps:
        """As `SplitNetwork.maps`."""
        maps: Maps = self.backbone(images)
        return maps

    def logits(self, maps: Maps) -> torch.Tensor:
        """As `SplitNetwork.logits`."""
        logits: torch.Tensor = self.head(through(self.coarsest, maps, self.num_maps))
        return logits

    def head_network(self) -> ComposedHead:
        """As `SplitNetwork.head_network`."""
        return ComposedHead(self.head, self.coarsest, self.num_maps)


def build_composed(
    model: ComposedConfig, num_classes: int, *, load_weights: bool = True
) -> ComposedNetwork:
    """As `build_model`. A frozen backbone gets its weights in any case: its checkpoints hold the head alone."""
    backbone = build_composed_backbone(model, load_weights=load_weights or model.is_frozen)
    side = model.backbone.probe_side
    probe = probe_maps(backbone, (side, side))
    head = model.head.build([one.shape[1] for one in probe], num_classes)
    network = ComposedNetwork(
        backbone, head, len(probe), hidden_layer=model.head.hidden_layer, is_frozen=model.is_frozen
    )
    if not isinstance(model.frozen, bool):
        _keep_stages(network, model.frozen, side)
    return network


def build_composed_backbone(model: ComposedConfig, *, load_weights: bool = True) -> nn.Module:
    """The backbone alone; without pretrained weights its random ones follow from its settings, whatever torch's seed is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("backbone", model.backbone.model_dump_json()))
        return model.backbone.build(model.weights if load_weights else "none")


def check_composed(model: ComposedConfig, num_classes: int, size: tuple[int, int]) -> None:
    """Find out whether images of `size` pass through a composed network, and come out as logits of all classes.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    network = build_composed(model, num_classes).eval()
    probe_maps(network.backbone, size)
    head = f"model.head.kind {model.head.kind!r}"
    try:
        with torch.inference_mode():
            logits = network(torch.zeros(1, 3, *size))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{head}: the maps of model.backbone do not pass through it: {text}; mend the head or choose another"
        ) from None
    if not isinstance(logits, torch.Tensor) or logits.ndim != 4 or logits.shape[1] != num_classes:
        seen = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError(
            f"{head}: it gives {seen}, and not logits (N, {num_classes}, h, w) of the data set's {num_classes} classes; mend the head"
        )


def probe_maps(backbone: nn.Module, size: tuple[int, int]) -> Maps:
    """The maps of an empty image.

    Raises:
        ConfigError: the image does not pass through the backbone, or what comes out are no maps, from fine to coarse.
    """
    height, width = size
    was_training = backbone.training
    try:
        with torch.no_grad():
            maps = backbone.eval()(torch.zeros(1, 3, height, width))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        text = " ".join(str(error).split())[:300]
        message = f"model.backbone: an image of {height}x{width} pixels (data.image_size) does not pass through it: {text}"
        raise ConfigError(
            f"{message}; give a size that it takes, such as a multiple of its patches"
        ) from None
    backbone.train(was_training)
    _check_maps(maps)
    found: Maps = maps
    return found


def _check_maps(maps: object) -> None:
    if (
        not isinstance(maps, tuple)
        or not maps
        or not all(isinstance(one, torch.Tensor) and one.ndim == 4 for one in maps)
    ):
        shapes = (
            [tuple(one.shape) for one in maps if isinstance(one, torch.Tensor)]
            if isinstance(maps, Sequence)
            else []
        )
        seen = f"{type(maps).__name__} {shapes or ''}".strip()
        raise ConfigError(
            f"model.backbone: it gives a {seen}; its forward must return a tuple of maps of shape (N, c, h, w)"
        )
    areas = [one.shape[2] * one.shape[3] for one in maps]
    if areas != sorted(areas, reverse=True):
        sizes = ", ".join(f"{one.shape[2]}x{one.shape[3]}" for one in maps)
        raise ConfigError(
            f"model.backbone: its maps have {sizes} cells; name its layers from fine to coarse"
        )


def _keep_stages(network: ComposedNetwork, count: int, side: int) -> None:
    """Fix what the first `count` maps are made of.

    Which weights these are, a derivative tells, of any backbone. Modules whose weights are all among
    them stay in evaluation mode.

    Raises:
        ConfigError: there are not so many maps, or none after them.
    """
    if count >= network.num_maps:
        message = f"model.frozen: {count}; the backbone gives {network.num_maps} maps"
        raise ConfigError(
            f"{message}; give a number below that, or true where all of it keeps its weights"
        )
    backbone = network.backbone.eval()
    parameters = list(backbone.parameters())
    with torch.enable_grad():
        total = sum(one.sum() for one in backbone(torch.zeros(1, 3, side, side))[:count])
    slopes = torch.autograd.grad(total, parameters, allow_unused=True)
    kept = {
        id(parameter)
        for parameter, slope in zip(parameters, slopes, strict=True)
        if slope is not None
    }
    for parameter in parameters:
        parameter.requires_grad_(id(parameter) not in kept)
    backbone.train(network.training)
    network.keep_statistics(
        name for name, module in network.named_modules() if _has_all(kept, module)
    )


def _has_all(kept: set[int], module: nn.Module) -> bool:
    """Whether a module has parameters, and all of them by their identities in `kept`."""
    own = list(module.parameters())
    return bool(own) and all(id(parameter) in kept for parameter in own)

"""Networks in two parts: a backbone that gives feature maps, and a head that makes logits of them."""

import torch
from torch import nn

from ray_al.core.config import ComposedConfig
from ray_al.core.seeding import seed_of

Maps = tuple[torch.Tensor, ...]
PROBE_SIDE = 64
"""Side of the image, in pixels, with which a backbone is asked for its channels."""


class ComposedNetwork(nn.Module):
    """A backbone and a head.

    Args:
        backbone: images (N, 3, H, W) -> maps.
        head: maps -> logits.
        is_frozen: whether the backbone keeps its weights and its batch norm's statistics.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, *, is_frozen: bool) -> None:
        super().__init__()
        self.backbone, self.head, self.is_frozen = backbone, head, is_frozen
        if is_frozen:
            self.backbone.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ComposedNetwork":
        """Switch to training (or evaluation) mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self

    def maps(self, images: torch.Tensor) -> Maps:
        """Feature maps (N, c, h, w), from fine to coarse."""
        maps: Maps = self.backbone(images)
        return maps

    def logits(self, maps: Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from maps."""
        logits: torch.Tensor = self.head(maps)
        return logits

    def head_network(self) -> "HeadNetwork":
        """The head alone, which shares its weights with this network."""
        return HeadNetwork(self.head)

    def forward(self, inputs: torch.Tensor | Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from images (N, 3, H, W), or from their maps."""
        return self.logits(inputs if isinstance(inputs, tuple) else self.maps(inputs))


class HeadNetwork(nn.Module):
    """A head whose layers have the names that they have in the whole network."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from maps (N, c, h, w)."""
        logits: torch.Tensor = self.head(maps)
        return logits


def build_composed(model: ComposedConfig, num_classes: int, *, load_weights: bool = True) -> ComposedNetwork:
    """As `build_model`. A frozen backbone gets its weights in any case: its checkpoints hold the head alone."""
    backbone = build_backbone(model, load_weights=load_weights or model.is_frozen)
    with torch.no_grad():
        probe = backbone.eval()(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    head = model.head.build([one.shape[1] for one in probe], num_classes)
    return ComposedNetwork(backbone, head, is_frozen=model.is_frozen)


def build_backbone(model: ComposedConfig, *, load_weights: bool = True) -> nn.Module:
    """The backbone alone; without pretrained weights its random ones follow from its settings, whatever torch's seed is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("backbone", model.backbone.model_dump_json()))
        return model.backbone.build(model.weights if load_weights else "none")

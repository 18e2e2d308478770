"""torchvision's segmentation networks as networks in two parts."""

import torch
from torch import nn

from ray_al.models.layers import KeptWhole
from ray_al.models.split import Maps, SplitNetwork, through


class SegmenterBackbone(nn.Module):
    """The backbone of a torchvision segmentation network alone, its maps a tuple from fine to coarse."""

    def __init__(self, backbone: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone, self.keys = backbone, keys

    def forward(self, images: torch.Tensor) -> Maps:
        """Maps (N, c, h, w) of images (N, 3, H, W)."""
        maps = self.backbone(images)
        return tuple(maps[key] for key in self.keys)


class SegmenterHead(nn.Module):
    """The head of a torchvision segmentation network, under the names that its layers have there."""

    def __init__(self, classifier: nn.Module, coarsest: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.classifier, self.coarsest, self.keys = classifier, coarsest, keys

    def forward(self, maps: Maps) -> torch.Tensor:
        """Logits (N, C, h, w) from maps."""
        return _classify(self.classifier, self.keys, through(self.coarsest, maps, len(self.keys)))


class Segmenter(SplitNetwork):
    """A network of torchvision's without its last interpolation and its auxiliary head."""

    def __init__(
        self, network: nn.Module, *, takes_all_features: bool, is_frozen: bool = False
    ) -> None:
        super().__init__(network.get_submodule("backbone"), is_frozen=is_frozen)
        self.classifier = network.get_submodule("classifier")
        self.keys = ("low", "high") if takes_all_features else ("out",)

    @property
    def hidden_layer(self) -> str:
        """`classifier.cbr` of LR-ASPP; of FCN and DeepLab what their last 1x1 convolution reads, dropout left out."""
        if len(self.keys) > 1:
            return "classifier.cbr"
        inner = list(self.classifier.named_children())[:-1]
        return f"classifier.{[name for name, layer in inner if not isinstance(layer, nn.Dropout | KeptWhole)][-1]}"

    def maps(self, images: torch.Tensor) -> Maps:
        """As `SplitNetwork.maps`."""
        maps = self.backbone(images)
        return tuple(maps[key] for key in self.keys)

    def logits(self, maps: Maps) -> torch.Tensor:
        """As `SplitNetwork.logits`."""
        return _classify(self.classifier, self.keys, through(self.coarsest, maps, len(self.keys)))

    def head_network(self) -> SegmenterHead:
        """As `SplitNetwork.head_network`."""
        return SegmenterHead(self.classifier, self.coarsest, self.keys)


def _classify(classifier: nn.Module, keys: tuple[str, ...], maps: Maps) -> torch.Tensor:
    """A head with one map takes it as it is, one with more by their names."""
    logits: torch.Tensor = classifier(
        maps[0] if len(keys) == 1 else dict(zip(keys, maps, strict=True))
    )
    return logits

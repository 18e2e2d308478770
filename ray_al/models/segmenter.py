"""Wrap torchvision's segmentation networks as networks in two parts."""

import torch
from torch import nn

from ray_al.models.layers import TraceLeaf
from ray_al.models.split import Maps, SplitNetwork, through


class SegmenterBackbone(nn.Module):
    """The backbone of a torchvision segmentation network, which returns a tuple of maps.

    Args:
        backbone: returns a dict of maps.
        keys: of the maps in it, from fine to coarse.
    """

    def __init__(self, backbone: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.keys = keys

    def forward(self, images: torch.Tensor) -> Maps:
        """Return the maps (N, c, h, w) of images (N, 3, H, W)."""
        maps = self.backbone(images)
        return tuple(maps[key] for key in self.keys)


class SegmenterHead(nn.Module):
    """The head of a torchvision segmentation network; its layers keep their names."""

    def __init__(self, classifier: nn.Module, coarsest: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.classifier = classifier
        self.coarsest = coarsest
        self.keys = keys

    def forward(self, maps: Maps) -> torch.Tensor:
        """Return logits (N, C, h, w) of maps."""
        return _classify(self.classifier, self.keys, through(self.coarsest, maps, len(self.keys)))


class Segmenter(SplitNetwork):
    """A torchvision segmentation network without its last interpolation and auxiliary head.

    Args:
        network: of torchvision.
        takes_all_features: whether its head reads two maps of the backbone (LR-ASPP).
        is_frozen: whether the backbone keeps its weights and its batch norm's statistics.
    """

    def __init__(
        self, network: nn.Module, *, takes_all_features: bool, is_frozen: bool = False
    ) -> None:
        super().__init__(network.get_submodule("backbone"), is_frozen=is_frozen)
        self.classifier = network.get_submodule("classifier")
        self.keys = ("low", "high") if takes_all_features else ("out",)

    @property
    def hidden_layer(self) -> str:
        """The name of the layer whose output the last layer reads, dropout left out.

        That is `classifier.cbr` for LR-ASPP, and for FCN and DeepLab the layer before their last
        1x1 convolution.
        """
        if len(self.keys) > 1:
            return "classifier.cbr"
        inner = list(self.classifier.named_children())[:-1]
        names = [name for name, layer in inner if not isinstance(layer, nn.Dropout | TraceLeaf)]
        return f"classifier.{names[-1]}"

    def maps(self, images: torch.Tensor) -> Maps:
        """See `SplitNetwork.maps`."""
        maps = self.backbone(images)
        return tuple(maps[key] for key in self.keys)

    def logits(self, maps: Maps) -> torch.Tensor:
        """See `SplitNetwork.logits`."""
        return _classify(self.classifier, self.keys, through(self.coarsest, maps, len(self.keys)))

    def head_network(self) -> SegmenterHead:
        """See `SplitNetwork.head_network`."""
        return SegmenterHead(self.classifier, self.coarsest, self.keys)


def _classify(classifier: nn.Module, keys: tuple[str, ...], maps: Maps) -> torch.Tensor:
    """Return the logits of a head: with one map it takes the tensor, with more a dict of them."""
    given = maps[0] if len(keys) == 1 else dict(zip(keys, maps, strict=True))
    logits: torch.Tensor = classifier(given)
    return logits

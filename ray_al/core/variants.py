"""What the variants of each family promise: the rest of the code asks them, and never compares their kinds."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ray_al.core.family import Family
from ray_al.core.section import Count, Positive, Section

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn


@dataclass(frozen=True)
class MapSize:
    """A feature map of one image: `channels` x `height` x `width` cells."""

    channels: int
    height: int
    width: int

    @property
    def num_values(self) -> int:
        return self.channels * self.height * self.width


class Model(Section):
    """A segmentation network."""

    kind: str
    """Whether it is a whole network by its name (`network`), or one that is composed of a backbone
    and a head (`composed`).
    """
    weights: str
    """Initial weights, or `none`."""

    @property
    def is_frozen(self) -> bool:
        """Whether all of the backbone keeps its weights, so that its features are computed once."""
        raise NotImplementedError

    @property
    def min_images(self) -> int:
        """Images that a training worker's part of a batch needs at least."""
        raise NotImplementedError


class Backbone(Section):
    """A network that gives feature maps."""

    kind: str
    """Which backbone it is: a built-in kind, or `package.module:Class` for your own."""
    probe_side: ClassVar[int] = 64
    """Pixels of the side of a square image that passes through it, with which it is asked for the channels of its maps."""

    @abstractmethod
    def build(self, weights: str) -> "nn.Module":
        """A module whose forward turns images (N, 3, H, W) into a tuple of maps (N, c, h, w), from fine to coarse.

        Args:
            weights: `none`, `backbone` (the package's own pretrained ones) or the path or URI of a
                state dict.

        Raises:
            ConfigError: unknown network or layer, or weights that do not fit; with key and remedy.
        """
        raise NotImplementedError


class Head(Section):
    """What turns feature maps into logits."""

    kind: str
    """Which head it is: a built-in kind, or `package.module:Class` for your own."""
    hidden_layer: ClassVar[str | None] = None
    """Name, inside the module, of the layer whose output the last one reads: there dropout is put and features of regions are taken.

    None where it is not known; settings must then name a layer.
    """
    min_images: ClassVar[int] = 1
    """Images that a training worker's part of a batch needs at least; two where batch norm sees one value of an image and channel."""

    @abstractmethod
    def build(self, channels: Sequence[int], num_classes: int) -> "nn.Module":
        """A module whose forward turns a tuple of maps (N, c, h, w) into logits (N, C, h', w').

        Args:
            channels: c of each map, from fine to coarse.
            num_classes: C.

        Raises:
            ConfigError: it cannot work on such maps.
        """
        raise NotImplementedError


class View(Section):
    """A change to an image whose features are computed once and trained on again and again."""

    kind: str
    """Which view it is: a built-in kind, or `package.module:Class` for your own."""

    @abstractmethod
    def draw(self, name: str, size: tuple[int, int]) -> Any:
        """The `ViewDraw` (features/geometry.py), or what does the same, of this view for the image called `name`.

        It follows from `name` and the view's settings alone, so that every run shares it.
        """
        raise NotImplementedError


class Semi(Section):
    """What a network with a frozen backbone learns from pixels that nobody labelled."""

    kind: str
    """Which method it is: a built-in kind, or `package.module:Class` for your own."""
    weight: Positive = 1.0
    """Weight of the cross entropy on these pixels, which is a mean over all that are drawn, whether
    their label is believed or not.
    """
    pixels: Count = 8000
    """Number of pixels that are drawn from a batch, of which those without a label are used."""

    @abstractmethod
    def is_active(self, done: float) -> bool:
        """Whether pixels without a label are looked at once this part of the steps is done."""
        raise NotImplementedError

    @abstractmethod
    def label(
        self, probabilities: "torch.Tensor", add: "Callable[[torch.Tensor], torch.Tensor]"
    ) -> "torch.Tensor":
        """The labels that are believed.

        Args:
            probabilities: float32 (P, C), what the network says of pixels without a label.
            add: the sum of a tensor over the workers; all of them call this method at the same step.

        Returns:
            int64 (P,) class ids, 255 where none is believed.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """What an image of a sparse kind has to choose from; H and W are its native pixels, a region's id is y * W + x.

    Attributes:
        scores: float32 (H, W), finite: of each region, named by its centre.
        taken: int64 (t,), ids of regions that were chosen before.
        radius: Chebyshev distance within which two regions are not both offered; 0 bars a taken one alone.
        limit: regions that are wanted.
        rng: of this image, cycle and run.
        classes: int64 (H, W), the predicted ones; None where the offer does not read them.
        features: float32 (c, h, w) each, the backbone's maps; empty where the offer does not read them.
    """

    scores: "np.ndarray"
    taken: "np.ndarray"
    radius: int
    limit: int
    rng: "np.random.Generator"
    classes: "np.ndarray | None" = None
    features: "tuple[np.ndarray, ...]" = ()


class Offer(Section):
    """How an image with a region at every pixel picks the few that it offers."""

    kind: str
    """Which offer it is: a built-in kind, or `package.module:Class` for your own."""

    @property
    def reads_classes(self) -> bool:
        """Whether it looks at predicted classes."""
        return False

    @property
    def reads_features(self) -> bool:
        """Whether it looks at the backbone's maps."""
        return False

    @abstractmethod
    def choose(self, image: ScoredImage) -> "np.ndarray":
        """Ids, int64 (at most `image.limit`,), no two of them (nor of those taken) within `image.radius`."""
        raise NotImplementedError


class Store(Section):
    """Where features are kept."""

    kind: str
    """Which store it is: a built-in kind, or `package.module:Class` for your own."""

    def keeps(self, num_passes: int) -> bool:
        """Whether it is worth keeping the features of a pool that a run passes over `num_passes` times."""
        return True

    def check(self) -> None:
        """Refuse a place of its own that cannot be used.

        Raises:
            ConfigError: with key and remedy.
        """

    @abstractmethod
    def open(self, run_uri: str) -> Any:
        """The open store (`RecordStore` in features/store.py) for a run, or None where nothing is kept."""
        raise NotImplementedError

    def below(self, folder: str) -> "Store":
        """This store for runs that share what is below `folder`, unless it has a place of its own."""
        return self


BACKBONES = Family(
    "model.backbone",
    Backbone,
    {
        "torchvision": "ray_al.models.backbones.torchvision:TorchvisionBackbone",
        "timm": "ray_al.models.backbones.timm:TimmBackbone",
    },
)
HEADS = Family(
    "model.head",
    Head,
    {
        "fpn": "ray_al.models.heads.fpn:FpnHead",
        "lraspp": "ray_al.models.heads.lraspp:LrasppHead",
        "linear": "ray_al.models.heads.linear:LinearHead",
    },
    default="fpn",
)
VIEWS = Family(
    "features.views",
    View,
    {
        "mirror": "ray_al.features.views.mirror:MirrorView",
        "crop": "ray_al.features.views.crop:CropView",
        "color": "ray_al.features.views.color:ColorView",
    },
)
STORES = Family(
    "features.store",
    Store,
    {
        "files": "ray_al.features.stores.files:FileStore",
        "none": "ray_al.features.stores.none:NoStore",
    },
    default="files",
)
OFFERS = Family(
    "strategy.offer",
    Offer,
    {
        "top_share": "ray_al.regions.offers.top_share:TopShareOffer",
        "stratified": "ray_al.regions.offers.stratified:StratifiedOffer",
        "herding": "ray_al.regions.offers.herding:HerdingOffer",
    },
)
SEMI = Family("train.semi", Semi, {"pseudo_labels": "ray_al.train.semi.pseudo_labels:PseudoLabels"})

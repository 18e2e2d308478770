"""Base classes of variants of models, features, offers and semi-supervised training.

The rest of the code asks a variant, and never compares its kind.
"""

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
        """Return the number of values in the map."""
        return self.channels * self.height * self.width


class Model(Section):
    """A segmentation network."""

    kind: str
    """Whether the network is given by its name (`network`), or composed of a backbone and a head
    (`composed`).
    """
    weights: str
    """Initial weights, or `none`."""

    @property
    def is_frozen(self) -> bool:
        """Return whether the whole backbone keeps its weights, so features are computed once."""
        raise NotImplementedError

    @property
    def min_images(self) -> int:
        """Return how many images a training worker's part of a batch needs at least."""
        raise NotImplementedError


class Backbone(Section):
    """A network that gives feature maps."""

    kind: str
    """Which backbone it is: a built-in kind, or `package.module:Class` for your own."""
    probe_side: ClassVar[int] = 64
    """Side, in pixels, of the square image that is passed through it to find its maps' channels."""

    @abstractmethod
    def build(self, weights: str) -> "nn.Module":
        """Return a module that turns images into feature maps.

        Its forward takes images (N, 3, H, W) and returns a tuple of maps (N, c, h, w), from fine to
        coarse.

        Args:
            weights: `none`, `backbone` (the package's own pretrained ones) or the path or URI of a
                state dict.

        Raises:
            ConfigError: unknown network or layer, or weights that do not fit; with key and remedy.
        """
        raise NotImplementedError


class Head(Section):
    """A module that turns feature maps into logits."""

    kind: str
    """Which head it is: a built-in kind, or `package.module:Class` for your own."""
    hidden_layer: ClassVar[str | None] = None
    """Name, inside the module, of the layer whose output the last layer reads.

    Dropout is inserted there, and features of regions are taken there. If it is None, the layer is
    not known, and settings must name one.
    """
    min_images: ClassVar[int] = 1
    """Number of images that a training worker's part of a batch needs at least.

    It is 2 for a head whose batch norm sees one value per image and channel.
    """

    @abstractmethod
    def build(self, channels: Sequence[int], num_classes: int) -> "nn.Module":
        """Return a module whose forward turns a tuple of maps (N, c, h, w) into logits.

        The logits have shape (N, C, h', w').

        Args:
            channels: c of each map, from fine to coarse.
            num_classes: C.

        Raises:
            ConfigError: the head cannot work on such maps.
        """
        raise NotImplementedError


class View(Section):
    """A change to an image, whose features are computed once and trained on many times."""

    kind: str
    """Which view it is: a built-in kind, or `package.module:Class` for your own."""

    @abstractmethod
    def draw(self, name: str, size: tuple[int, int]) -> Any:
        """Return the `ViewDraw` (features/geometry.py) of this view for one image.

        It follows only from `name` and the view's settings, so all runs share it. An object with
        the same methods may be returned instead.

        Args:
            name: of the image and the view.
            size: (height, width) of the image in pixels.
        """
        raise NotImplementedError


class Semi(Section):
    """A way in which a network with a frozen backbone learns from unlabelled pixels."""

    kind: str
    """Which method it is: a built-in kind, or `package.module:Class` for your own."""
    weight: Positive = 1.0
    """Weight of the cross entropy on unlabelled pixels, which is a mean over all that are drawn,
    whether their label is believed or not.
    """
    pixels: Count = 8000
    """Number of pixels that are drawn from a batch; those without a label are used."""

    @abstractmethod
    def is_active(self, done: float) -> bool:
        """Return whether unlabelled pixels are used.

        Args:
            done: share of the steps that are done, in [0, 1].
        """
        raise NotImplementedError

    @abstractmethod
    def label(
        self, probabilities: "torch.Tensor", add: "Callable[[torch.Tensor], torch.Tensor]"
    ) -> "torch.Tensor":
        """Return the labels that are believed.

        Args:
            probabilities: float32 (P, C), predictions of the network for unlabelled pixels.
            add: sums a tensor over the workers, all of which call this method at the same step.

        Returns:
            int64 (P,) class ids, 255 for a pixel whose label is not believed.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """The scores of one image of a sparse kind, from which an offer chooses.

    H and W are its size in native pixels; the id of a region is y * W + x of its centre.

    Attributes:
        scores: float32 (H, W), finite: the score of each region, at its centre.
        taken: int64 (t,), ids of regions that were chosen before.
        radius: Chebyshev distance within which two regions are not both offered; with 0, only taken
            regions are excluded.
        limit: number of regions that are wanted.
        rng: generator of this image, cycle and run.
        classes: int64 (H, W), predicted class ids; None if the offer does not read them.
        features: float32 (c, h, w) each, the backbone's maps; empty if the offer does not read
            them.
    """

    scores: "np.ndarray"
    taken: "np.ndarray"
    radius: int
    limit: int
    rng: "np.random.Generator"
    classes: "np.ndarray | None" = None
    features: "tuple[np.ndarray, ...]" = ()


class Offer(Section):
    """A way in which an image with a region at every pixel picks the few that it offers."""

    kind: str
    """Which offer it is: a built-in kind, or `package.module:Class` for your own."""

    @property
    def reads_classes(self) -> bool:
        """Return whether the offer reads predicted classes."""
        return False

    @property
    def reads_features(self) -> bool:
        """Return whether the offer reads the backbone's maps."""
        return False

    @abstractmethod
    def choose(self, image: ScoredImage) -> "np.ndarray":
        """Return ids of regions, int64 (at most `image.limit`,).

        No two of them, nor one of them and a taken one, are within `image.radius`. There are fewer
        than `image.limit` only if no further one would keep that distance.
        """
        raise NotImplementedError


class Store(Section):
    """A place where features are kept."""

    kind: str
    """Which store it is: a built-in kind, or `package.module:Class` for your own."""

    def keeps(self, num_passes: int) -> bool:
        """Return whether to keep features of a pool that a run passes over `num_passes` times."""
        return True

    def check(self) -> None:
        """Refuse a place that cannot be used.

        Raises:
            ConfigError: with key and remedy.
        """

    @abstractmethod
    def open(self, run_uri: str) -> Any:
        """Open the store for a run.

        Returns:
            A `RecordStore` (features/store.py); None if nothing is kept.
        """
        raise NotImplementedError

    def below(self, folder: str) -> "Store":
        """Return this store for runs that share features below `folder`.

        A store with a place of its own stays as it is.
        """
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

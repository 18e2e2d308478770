"""Region kinds: how images fall into regions, the units that are queried and labelled."""

from abc import abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar, Protocol

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.types import Box

if TYPE_CHECKING:
    import numpy as np


class ImageRegions(Protocol):
    """The regions of one image, in native pixels."""

    @property
    def num_regions(self) -> int:
        """R, the image's part of the pool's regions.

        Of a sparse kind, how many can be labelled without overlap.
        """

    @property
    def boxes(self) -> "np.ndarray":
        """int32 (R, 4) by region id: top, left, bottom, right, half-open, tight.

        Of a sparse kind (H * W, 4), built when asked for.
        """

    @property
    def num_pixels(self) -> "np.ndarray":
        """int64 (R,) by region id; of a sparse kind (H * W,)."""

    @property
    def labels(self) -> "np.ndarray | None":
        """int32 (H, W), the region of every pixel.

        None for sparse kinds, whose regions overlap or are one pixel each.
        """

    def boxes_of(self, regions: "np.ndarray") -> "np.ndarray":
        """int32 (n, 4): the boxes of some regions, int (n,)."""

    def box(self, region: int) -> Box:
        """The box of one region."""

    def mask(self, region: int) -> "np.ndarray | None":
        """bool, in the shape of the region's box: the region's pixels. None where they fill the box."""


class Regions(Section):
    """A way to divide images into regions.

    A kind derives from this class where the regions of an image follow from its size, from
    `MappedRegions` (regions/maps.py) where they follow from what it shows, and from `SparseRegions`
    (regions/sparse.py) where there is a region at every pixel.
    """

    kind: str
    """Which region kind it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Where the kind comes from."""
    needs: ClassVar[str] = ""
    """What it costs beside the passes that any strategy makes; empty where that is nothing."""
    needs_maps: ClassVar[bool] = False
    """Whether the regions of an image are a stored map, made once from the image."""
    is_sparse: ClassVar[bool] = False
    """Whether an image has too many regions to list: scoring gives its best candidates alone.

    A region's id is then the index y * width + x of its centre.
    """
    are_boxes: ClassVar[bool] = False
    """Whether every region fills its box, which makes means over regions fast."""
    is_whole_image: ClassVar[bool] = False
    """Whether an image is one region."""
    size_keys: ClassVar[tuple[str, ...]] = ("kind",)
    """Settings for which an image can be too small, for messages."""
    told_keys: ClassVar[tuple[str, ...]] = ()
    """Settings that tell runs of this kind apart, in the order in which names of groups give them."""

    @abstractmethod
    def of_image(self, height: int, width: int, data: bytes | None = None) -> ImageRegions:
        """The regions of an image of `height` x `width` native pixels.

        Args:
            data: the image's encoded map where the kind needs maps.
        """
        raise NotImplementedError

    @property
    def is_sized(self) -> bool:
        """Whether the regions of an image follow from its size, and can be listed."""
        return not self.needs_maps and not self.is_sparse

    @property
    def region_pixels(self) -> int | None:
        """Native pixels of a region that no border clips; None where they differ from region to region."""
        return None

    def num_regions(self, height: int, width: int) -> int:
        """Regions of an image as far as its size tells: 0 where it is too small, or where its map tells."""
        return 0 if self.needs_maps else self.of_image(height, width).num_regions

    def expected_regions(self, height: int, width: int) -> int:
        """About as many regions an image has, for estimates that are made before its map."""
        return self.num_regions(height, width)

    def region_sizes(self, height: int, width: int) -> tuple[int, int] | None:
        """Native pixels of an image's smallest and largest region; None where it has none, or where its map tells."""
        if not self.num_regions(height, width):
            return None
        pixels = self.of_image(height, width).num_pixels
        return int(pixels.min()), int(pixels.max())

    def too_small(self, height: int, width: int) -> str | None:
        """Why an image of this size has no region; None where it has some."""
        if self.needs_maps or self.num_regions(height, width):
            return None
        settings = " and ".join(f"regions.{key}={getattr(self, key)}" for key in self.size_keys)
        return f"the image of {height}x{width} pixels has no region with {settings}; change that, or take the image out of the split"

    def describe(self, told: Collection[str]) -> str:
        """How images are divided, for names of groups of runs: `superpixels-seeds-200`.

        Args:
            told: names of the settings in which the groups differ.
        """
        return "-".join(
            [self.kind, *(str(getattr(self, key)) for key in self.told_keys if key in told)]
        )


REGIONS = Family(
    "regions",
    Regions,
    {
        "grid": "ray_al.regions.grid:Grid",
        "image": "ray_al.regions.image:WholeImage",
        "superpixels": "ray_al.regions.superpixels:Superpixels",
        "pixels": "ray_al.regions.pixels:Pixels",
        "windows": "ray_al.regions.windows:Windows",
    },
    default="grid",
)

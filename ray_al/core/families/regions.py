"""Region kinds, which divide images into regions, the units that are queried and labelled."""

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
        """Return R, the number of regions.

        For a sparse kind, it is the number that can be labelled without overlap.
        """

    @property
    def boxes(self) -> "np.ndarray":
        """Return int32 (R, 4) by region id: top, left, bottom, right, half-open, tight.

        For a sparse kind, the shape is (H * W, 4), and the array is built when asked for.
        """

    @property
    def num_pixels(self) -> "np.ndarray":
        """Return int64 (R,) by region id; (H * W,) for a sparse kind."""

    @property
    def region_map(self) -> "np.ndarray | None":
        """Return int32 (H, W), the id of the region of every pixel.

        None for sparse kinds, whose regions overlap or are one pixel each.
        """

    def boxes_of(self, regions: "np.ndarray") -> "np.ndarray":
        """Return the boxes of some regions, int32 (n, 4); `regions` is int (n,)."""

    def box(self, region: int) -> Box:
        """Return the box of one region."""

    def mask(self, region: int) -> "np.ndarray | None":
        """Return the region's pixels, bool in the shape of its box; None if they fill the box."""


class Regions(Section):
    """A way to divide images into regions.

    A kind derives from this class if the regions of an image follow from its size, from
    `MappedRegions` (regions/maps.py) if they follow from its content, and from `SparseRegions`
    (regions/sparse.py) if there is a region at every pixel.
    """

    kind: str
    """Which region kind it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Paper that introduced the kind."""
    needs: ClassVar[str] = ""
    """What it needs in addition to the passes of any strategy; empty for nothing."""
    needs_maps: ClassVar[bool] = False
    """Whether the regions of an image are a stored map, made once from the image."""
    is_sparse: ClassVar[bool] = False
    """Whether an image has too many regions to list, so scoring returns only its best candidates.

    A region's id is then the index y * width + x of its centre.
    """
    are_boxes: ClassVar[bool] = False
    """Whether every region fills its box, which makes means over regions fast."""
    is_whole_image: ClassVar[bool] = False
    """Whether an image is one region."""
    size_keys: ClassVar[tuple[str, ...]] = ("kind",)
    """Settings with which an image can be too small, for messages."""
    distinguishing_keys: ClassVar[tuple[str, ...]] = ()
    """Settings that distinguish runs of this kind, in their order in names of groups."""

    @abstractmethod
    def of_image(self, height: int, width: int, data: bytes | None = None) -> ImageRegions:
        """Return the regions of an image.

        Args:
            height: of the image, in native pixels.
            width: of the image, in native pixels.
            data: the image's encoded map, if the kind needs maps.
        """
        raise NotImplementedError

    @property
    def is_sized(self) -> bool:
        """Return whether the regions of an image follow from its size, and can be listed."""
        return not self.needs_maps and not self.is_sparse

    @property
    def region_pixels(self) -> int | None:
        """Return the native pixels of a region that no border clips; None if sizes differ."""
        return None

    def num_regions(self, height: int, width: int) -> int:
        """Return the number of regions; 0 if the image is too small, or if only its map can say."""
        return 0 if self.needs_maps else self.of_image(height, width).num_regions

    def expected_regions(self, height: int, width: int) -> int:
        """Return roughly how many regions an image has, for estimates made before its map."""
        return self.num_regions(height, width)

    def region_sizes(self, height: int, width: int) -> tuple[int, int] | None:
        """Return the native pixels of an image's smallest and largest region.

        None if the image has no region, or if only its map can say.
        """
        if not self.num_regions(height, width):
            return None
        pixels = self.of_image(height, width).num_pixels
        return int(pixels.min()), int(pixels.max())

    def too_small(self, height: int, width: int) -> str | None:
        """Return why an image of this size has no region; None if it has some."""
        if self.needs_maps or self.num_regions(height, width):
            return None
        settings = " and ".join(f"regions.{key}={getattr(self, key)}" for key in self.size_keys)
        return (
            f"the image of {height}x{width} pixels has no region with {settings}; "
            "change that, or take the image out of the split"
        )

    def describe(self, differing: Collection[str]) -> str:
        """Return how images are divided, for names of groups of runs: `superpixels-seeds-200`.

        Args:
            differing: names of the settings in which the groups differ.
        """
        values = [getattr(self, key) for key in self.distinguishing_keys if key in differing]
        return "-".join([self.kind, *map(str, values)])


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

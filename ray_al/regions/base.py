"""What every region kind offers: a kind gives the regions of one image, and those give boxes, masks and ids."""

from typing import Protocol

import numpy as np

from ray_al.core.types import Box


class ImageRegions(Protocol):
    """The regions of one image, in native pixels."""

    @property
    def num_regions(self) -> int:
        """R, the image's part of the pool's regions: of a sparse kind, how many can be labelled without overlap."""

    @property
    def boxes(self) -> np.ndarray:
        """int32 (R, 4) by region id: top, left, bottom, right, half-open, tight. Of a sparse kind (H * W, 4), built when asked for."""

    @property
    def num_pixels(self) -> np.ndarray:
        """int64 (R,) by region id; of a sparse kind (H * W,)."""

    @property
    def labels(self) -> np.ndarray | None:
        """int32 (H, W), the region of every pixel; None for sparse kinds, whose regions overlap or are one pixel each."""

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        """int32 (n, 4): the boxes of some regions, int (n,)."""

    def box(self, region: int) -> Box:
        """The box of one region."""

    def mask(self, region: int) -> np.ndarray | None:
        """bool, in the shape of the region's box: the region's pixels. None where they fill the box."""


class RegionKind(Protocol):
    """How images fall into regions.

    Attributes:
        needs_maps: the regions of an image are a stored map (`regions/maps.py`), made once from the image.
        is_sparse: a region's id is the index y * width + x of its (centre) pixel; the pool is never enumerated, a scoring worker
            returns each image's best candidates alone.
    """

    @property
    def needs_maps(self) -> bool: ...

    @property
    def is_sparse(self) -> bool: ...

    def of_image(self, height: int, width: int, data: bytes | None = None) -> ImageRegions:
        """The regions of an image of `height` x `width` native pixels; `data` is its encoded map where the kind needs maps."""


class SizedKind(RegionKind, Protocol):
    """A kind whose regions follow from an image's size."""

    def num_regions(self, height: int, width: int) -> int:
        """Regions of an image; 0 where it is too small."""

    def boxes(self, height: int, width: int) -> np.ndarray:
        """int32 (R, 4): top, left, bottom, right, half-open."""

    def box(self, region: int, height: int, width: int) -> Box:
        """The box of one region."""

    def num_pixels(self, height: int, width: int) -> np.ndarray:
        """int64 (R,)."""


class SparseKind(RegionKind, Protocol):
    """A kind with a region at every pixel, of which an image offers its best few."""

    def num_regions(self, height: int, width: int) -> int:
        """How many regions of an image can be labelled without overlap: the denominator of shares."""

    def best(self, scores_HW: np.ndarray, height: int, width: int, *, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int64 (n,), scores float32 (n,)) of an image's best regions, beside those `taken`; the best first."""

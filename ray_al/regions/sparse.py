"""Kinds with a region at every pixel, named by its centre.

A greedy choice keeps the regions of an image apart.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ray_al.core.errors import DataError
from ray_al.core.families.regions import Regions
from ray_al.core.section import Count
from ray_al.core.types import Box

Radius = Annotated[int, Field(ge=0, le=10_000)]
"""A radius in native pixels."""


class SparseRegions(Regions):
    """A kind with a square region around every pixel; an image offers its best few."""

    per_image: Count = 10
    """Number of candidates that an image offers in one cycle."""
    radius: Radius
    """Radius in native pixels; each kind says of what."""

    is_sparse: ClassVar[bool] = True

    @property
    @abstractmethod
    def reach(self) -> int:
        """Return the native pixels from a region's centre to its border, without the centre.

        With 0, a region is one pixel.
        """
        raise NotImplementedError

    @property
    @abstractmethod
    def apart(self) -> int:
        """Return the Chebyshev distance of centres within which no two regions are both chosen.

        It is at least 2 * `reach`, so regions never overlap.
        """
        raise NotImplementedError

    @property
    def is_spaced(self) -> bool:
        """Return whether regions are kept further apart than they are wide.

        Then fewer regions can be chosen than `num_regions` counts.
        """
        return self.apart > 2 * self.reach

    @abstractmethod
    def region_scores(self, scores_HW: np.ndarray) -> np.ndarray:
        """Return the score of each region at its centre, float32 (H, W).

        Args:
            scores_HW: scores of pixels at native size.
        """
        raise NotImplementedError

    @property
    def region_pixels(self) -> int:
        """Return the pixels of a region that no border clips; see `Regions.region_pixels`."""
        return (2 * self.reach + 1) ** 2

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "CentredRegions":
        """Return the windows around all pixels; see `Regions.of_image`."""
        return CentredRegions(height=height, width=width, reach=self.reach)

    def num_regions(self, height: int, width: int) -> int:
        """Return how many regions fit without overlap.

        It is not one per pixel, so a share of the regions is about the same share of the pixels.
        """
        return self.of_image(height, width).num_regions

    def region_sizes(self, height: int, width: int) -> tuple[int, int]:
        """Return the pixels of a corner region and of an inner one; see `Regions.region_sizes`."""
        return (self.reach + 1) ** 2, self.region_pixels

    def best(
        self,
        scores_HW: np.ndarray,
        height: int,
        width: int,
        *,
        taken: np.ndarray,
        averaged: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return an image's best regions, chosen greedily, none within `apart` of another.

        The highest score comes first, and the lower id in a tie.

        Args:
            scores_HW: pixel scores at any resolution, brought to native pixels bilinearly.
            height: of the image, in native pixels.
            width: of the image, in native pixels.
            taken: int64 (t,), regions that were chosen before.
            averaged: whether the scores are already those of regions.

        Returns:
            ids int64 (n,) and scores float32 (n,), n at most `per_image`, in the order of choice.

        Raises:
            DataError: a score is not finite.
        """
        native_HW = to_native(scores_HW, height, width)
        scores = native_HW if averaged else self.region_scores(native_HW)
        return choose_apart(scores, n=self.per_image, radius=self.apart, taken=taken)


@dataclass(frozen=True, kw_only=True)
class CentredRegions:
    """The (2 * reach + 1)^2 windows around every pixel of an image, clipped at its border.

    With `reach` 0 they are single pixels. A region's id is the index y * width + x of its centre.
    """

    height: int
    width: int
    reach: int

    @property
    def num_regions(self) -> int:
        """Return how many windows fit without overlap, ceil(H / side) * ceil(W / side).

        Each cell of side x side pixels holds at most one centre.
        """
        side = 2 * self.reach + 1
        return -(-self.height // side) * -(-self.width // side)

    @cached_property
    def boxes(self) -> np.ndarray:
        """Return int32 (H * W, 4): top, left, bottom, right."""
        return self.boxes_of(np.arange(self.height * self.width))

    @cached_property
    def num_pixels(self) -> np.ndarray:
        """Return int64 (H * W,), the pixels of each window."""
        boxes = self.boxes.astype(np.int64)
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    @property
    def region_map(self) -> None:
        """Return None, as windows overlap."""
        return None

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        """Return int32 (n, 4), the boxes of some regions; `regions` is int (n,)."""
        y, x = np.divmod(regions, self.width)
        corners = [
            np.maximum(y - self.reach, 0), np.maximum(x - self.reach, 0),
            np.minimum(y + self.reach + 1, self.height), np.minimum(x + self.reach + 1, self.width),
        ]  # fmt: skip
        return np.stack(corners, axis=-1).astype(np.int32)

    def box(self, region: int) -> Box:
        """Return the box of a region."""
        top, left, bottom, right = map(int, self.boxes_of(np.array([region]))[0])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def mask(self, region: int) -> np.ndarray | None:
        """Return None, as a window fills its box."""
        return None


def choose_apart(
    scores_HW: np.ndarray, *, n: int, radius: int, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose pixels by greedy non-maximum suppression.

    The highest score comes first, and the lower id in a tie. A choice changes `2 * radius + 1`
    rows, so the maximum of each row is kept: a choice costs O(H + radius * W), not O(H * W).

    Args:
        scores_HW: finite, any float type, native pixels.
        n: largest number of pixels; fewer are chosen if no more fit.
        radius: Chebyshev distance within which a chosen or taken pixel excludes others; 0 excludes
            only itself.
        taken: int (t,), ids y * W + x that were chosen before.

    Returns:
        ids int64 (n',) and their scores float32 (n',), in the order of choice.

    Raises:
        DataError: a score is not finite.
    """
    check_finite(scores_HW)
    width = scores_HW.shape[1]
    left_HW = scores_HW.astype(np.float32)  # -inf for pixels that cannot be chosen any more
    for y, x in zip(*np.divmod(taken, width), strict=True):
        left_HW[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = -np.inf
    best_H = left_HW.max(axis=1)
    ids: list[int] = []
    scores: list[np.float32] = []
    while len(ids) < n and best_H.max() > -np.inf:
        y = int(best_H.argmax())
        x = int(left_HW[y].argmax())
        ids.append(y * width + x)
        scores.append(left_HW[y, x])
        rows = slice(max(0, y - radius), y + radius + 1)
        left_HW[rows, max(0, x - radius) : x + radius + 1] = -np.inf
        best_H[rows] = left_HW[rows].max(axis=1)
    return np.array(ids, dtype=np.int64), np.array(scores, dtype=np.float32)


def check_finite(scores_HW: np.ndarray) -> None:
    """Refuse pixel scores that are not all finite.

    Raises:
        DataError: with the number of scores that are not.
    """
    if not np.isfinite(scores_HW).all():
        bad = int((~np.isfinite(scores_HW)).sum())
        raise DataError(
            f"{bad} of {scores_HW.size} pixel scores are not finite; "
            "the model diverged, lower train.learning_rate"
        )


def nearest_native(values_hw: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return, for each native pixel, the value of the cell that holds its centre.

    Args:
        values_hw: a map (h, w) of any resolution and type.
        height: in native pixels.
        width: in native pixels.

    Returns:
        (height, width), of the same type.
    """
    rows, columns = (
        ((np.arange(size) + 0.5) * cells / size).astype(np.int64)
        for size, cells in zip((height, width), values_hw.shape, strict=True)
    )
    answer: np.ndarray = values_hw[rows[:, None], columns]
    return answer


def to_native(scores_HW: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate a map bilinearly to native pixels.

    It does the same as `torch.nn.functional.interpolate(align_corners=False)`, without torch: pixel
    centres are at (i + 0.5) / size, and beyond the outermost centres the border's value holds.
    With nearest neighbours, all pixels of a cell would tie.

    Args:
        scores_HW: a map of any resolution.
        height: in native pixels.
        width: in native pixels.

    Returns:
        float32 (height, width).
    """
    values = scores_HW.astype(np.float32)
    for axis, size in enumerate((height, width)):
        cells = values.shape[axis]
        if cells == size:
            continue
        position = ((np.arange(size) + 0.5) * cells / size - 0.5).clip(0, cells - 1)
        low = position.astype(np.int64)
        share = (position - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        values = (
            values.take(low, axis) * (1 - share)
            + values.take(np.minimum(low + 1, cells - 1), axis) * share
        )
    return values

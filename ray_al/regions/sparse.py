"""Kinds with a region at every pixel: regions named by their centre, and the greedy choice that keeps them apart."""

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


class SparseRegions(Regions):
    """A kind with a square region around every pixel, of which an image offers its best few."""

    per_image: Count = 10
    """Number of candidates that an image offers in one cycle."""
    radius: Radius
    """Native pixels; what it is the radius of, a kind says."""

    is_sparse: ClassVar[bool] = True

    @property
    @abstractmethod
    def reach(self) -> int:
        """Native pixels from a region's centre to its border, the centre left out: 0 makes regions of one pixel."""
        raise NotImplementedError

    @property
    @abstractmethod
    def apart(self) -> int:
        """Chebyshev distance of centres within which two regions are not both chosen; at least 2 * `reach`, so that none overlap."""
        raise NotImplementedError

    @property
    def is_spaced(self) -> bool:
        """Whether regions are kept further apart than they are wide, so that fewer can be had than `num_regions` counts."""
        return self.apart > 2 * self.reach

    @abstractmethod
    def region_scores(self, scores_HW: np.ndarray) -> np.ndarray:
        """float32 (H, W): of each region, named by its centre, the score that follows from pixel scores at native size."""
        raise NotImplementedError

    @property
    def region_pixels(self) -> int:
        """As `Regions.region_pixels`."""
        return (2 * self.reach + 1) ** 2

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "CentredRegions":
        """As `Regions.of_image`."""
        return CentredRegions(height=height, width=width, reach=self.reach)

    def num_regions(self, height: int, width: int) -> int:
        """How many fit without overlap, not one a pixel: so that a share of regions is about that share of pixels."""
        return self.of_image(height, width).num_regions

    def region_sizes(self, height: int, width: int) -> tuple[int, int]:
        """As `Regions.region_sizes`: in a corner, and in the middle."""
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
        """An image's best regions, greedily: the highest score first, ties to the lower id, none within `apart` of another.

        Args:
            scores_HW: pixel scores at any resolution, brought to native pixels bilinearly.
            height: of the image, in native pixels.
            width: of the image, in native pixels.
            taken: int64 (t,), regions that were chosen before.
            averaged: whether the scores are those of regions already.

        Returns:
            ids int64 (n,) and scores float32 (n,), n at most `per_image`, in the order of the choice.

        Raises:
            DataError: a score is not finite.
        """
        native_HW = to_native(scores_HW, height, width)
        scores = native_HW if averaged else self.region_scores(native_HW)
        return choose_apart(scores, n=self.per_image, radius=self.apart, taken=taken)


@dataclass(frozen=True, kw_only=True)
class CentredRegions:
    """The (2 * reach + 1)^2 windows around every pixel of an image, clipped at its border; `reach` 0 makes them pixels.

    A region's id is the index y * width + x of its centre.
    """

    height: int
    width: int
    reach: int

    @property
    def num_regions(self) -> int:
        """How many windows fit without overlap: ceil(H / side) * ceil(W / side), as each side x side cell holds one centre at most."""
        side = 2 * self.reach + 1
        return -(-self.height // side) * -(-self.width // side)

    @cached_property
    def boxes(self) -> np.ndarray:
        return self.boxes_of(np.arange(self.height * self.width))

    @cached_property
    def num_pixels(self) -> np.ndarray:
        boxes = self.boxes.astype(np.int64)
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    @property
    def labels(self) -> None:
        return None

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        """int32 (n, 4): the boxes of some regions, int (n,)."""
        y, x = np.divmod(regions, self.width)
        corners = [
            np.maximum(y - self.reach, 0), np.maximum(x - self.reach, 0),
            np.minimum(y + self.reach + 1, self.height), np.minimum(x + self.reach + 1, self.width),
        ]  # fmt: skip
        return np.stack(corners, axis=-1).astype(np.int32)

    def box(self, region: int) -> Box:
        top, left, bottom, right = map(int, self.boxes_of(np.array([region]))[0])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def mask(self, region: int) -> None:
        return None


def choose_apart(
    scores_HW: np.ndarray, *, n: int, radius: int, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy non-maximum suppression: the highest score first, ties to the lower id, none near another.

    A chosen pixel changes `2 * radius + 1` rows, so the maximum is kept a row: a choice costs O(H + radius * W), not O(H * W).

    Args:
        scores_HW: finite, any float type, native pixels.
        n: how many at most; fewer where no more fit.
        radius: Chebyshev distance within which a chosen or taken pixel bars others; 0 bars only itself.
        taken: int (t,), ids y * W + x that stand already.

    Returns:
        ids int64 (n',) and their scores float32 (n',), in the order of the choice.

    Raises:
        DataError: a score is not finite.
    """
    check_finite(scores_HW)
    width = scores_HW.shape[1]
    left_HW = scores_HW.astype(np.float32)  # what can still be chosen; -inf elsewhere
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
    """Refuse pixel scores of which one is not finite.

    Raises:
        DataError: with their number.
    """
    if not np.isfinite(scores_HW).all():
        bad = int((~np.isfinite(scores_HW)).sum())
        raise DataError(
            f"{bad} of {scores_HW.size} pixel scores are not finite; the model diverged, lower train.learning_rate"
        )


def nearest_native(values_hw: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width): of each native pixel the value of the cell that holds its centre."""
    rows, columns = (
        ((np.arange(size) + 0.5) * cells / size).astype(np.int64)
        for size, cells in zip((height, width), values_hw.shape, strict=True)
    )
    answer: np.ndarray = values_hw[rows[:, None], columns]
    return answer


def to_native(scores_HW: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear values float32 (height, width) of a map at any resolution, pixel centres at (i + 0.5) / size, borders held.

    As `torch.nn.functional.interpolate(align_corners=False)`: with nearest neighbours, all pixels of a cell would tie.
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

"""Images -> regions: the units that are queried and labelled."""

from typing import Protocol

import numpy as np

from ray_al.core.config import RegionsConfig
from ray_al.core.types import Box
from ray_al.regions.grid import Grid


class RegionKind(Protocol):
    """How an image of any size falls into regions. Boxes are in native pixels."""

    def num_regions(self, height: int, width: int) -> int:
        """Regions of an image; 0 where it is too small."""

    def boxes(self, height: int, width: int) -> np.ndarray:
        """int32 (R, 4): top, left, bottom, right, half-open."""

    def box(self, region: int, height: int, width: int) -> Box:
        """The box of one region."""

    def num_pixels(self, height: int, width: int) -> np.ndarray:
        """int64 (R,)."""


def open_regions(config: RegionsConfig) -> RegionKind:
    """The region kind that `config` names."""
    return Grid(rows=config.rows, columns=config.columns) if config.kind == "grid" else Grid(rows=1, columns=1)


__all__ = ["Grid", "RegionKind", "open_regions"]

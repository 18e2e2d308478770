"""Images -> regions: the units that are queried and labelled. One table lists the kinds."""

from collections.abc import Callable, Mapping
from functools import partial

from ray_al.core.config import RegionsConfig
from ray_al.regions.base import ImageRegions, RegionKind, SizedKind, SparseKind, cut
from ray_al.regions.grid import Grid
from ray_al.regions.pixels import Pixels
from ray_al.regions.superpixels import Superpixels
from ray_al.regions.windows import Windows

KINDS: Mapping[str, Callable[..., RegionKind]] = {
    "grid": Grid,
    "image": partial(Grid, rows=1, columns=1),
    "superpixels": Superpixels,
    "pixels": Pixels,
    "windows": Windows,
}


def open_regions(config: RegionsConfig) -> SizedKind:
    """The region kind that `config` names."""
    return Grid(rows=config.rows, columns=config.columns) if config.kind == "grid" else Grid(rows=1, columns=1)


__all__ = ["KINDS", "Grid", "ImageRegions", "Pixels", "RegionKind", "SizedKind", "SparseKind", "Superpixels", "Windows", "cut", "open_regions"]

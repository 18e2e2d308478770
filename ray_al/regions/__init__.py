"""Images -> regions: the units that are queried and labelled. One table lists the kinds."""

from collections.abc import Callable, Mapping
from typing import Any

from ray_al.core.config import RegionsConfig
from ray_al.regions.base import ImageRegions, RegionKind, SizedKind, SparseKind
from ray_al.regions.grid import Grid
from ray_al.regions.pixels import Pixels
from ray_al.regions.superpixels import Superpixels
from ray_al.regions.windows import Windows

KINDS: Mapping[str, Callable[[RegionsConfig], Any]] = {
    "grid": lambda config: Grid(rows=config.rows, columns=config.columns),
    "image": lambda config: Grid(rows=1, columns=1),
    "superpixels": lambda config: Superpixels(method=config.method, count=config.count, compactness=config.compactness),
    "pixels": lambda config: Pixels(per_image=config.per_image, radius=config.radius),
    "windows": lambda config: Windows(per_image=config.per_image, radius=config.radius),
}


def open_regions(config: RegionsConfig) -> Any:
    """The region kind that `config` names: a `SizedKind`, `Superpixels` or a `SparseKind`."""
    return KINDS[config.kind](config)


def too_small(config: RegionsConfig, height: int, width: int) -> str | None:
    """Why an image of this size has no region; None where it has some. A grid alone can be too fine for an image."""
    if config.kind != "grid" or open_regions(config).num_regions(height, width):
        return None
    return (
        f"the image of {height}x{width} pixels is smaller than the grid of {config.rows}x{config.columns} cells; "
        "lower regions.rows and regions.columns, or take the image out of the split"
    )


__all__ = ["KINDS", "Grid", "ImageRegions", "Pixels", "RegionKind", "SizedKind", "SparseKind", "Superpixels", "Windows", "open_regions", "too_small"]

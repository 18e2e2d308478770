"""Bring maps of what the network sees to the native pixels of images and tiles."""

import functools

import numpy as np

from ray_al.core.families.regions import ImageRegions, Regions
from ray_al.datasets.tiles import Tile
from ray_al.regions.sparse import nearest_native, to_native
from ray_al.scoring.pooling import BoxPooler, RegionMapPooler
from ray_al.scoring.shards import ShardImage


def in_native(values: np.ndarray, image: ShardImage) -> np.ndarray:
    """Return scores in native pixels, interpolated; of a tile, those of its core."""
    if image.tile is None:
        return to_native(values, *image.size)
    return image.tile.cut(to_native(values, *image.tile.window))


def nearest_in_native(values: np.ndarray, image: ShardImage) -> np.ndarray:
    """Return a map in native pixels, by the nearest cell; of a tile, that of its core."""
    if image.tile is None:
        return nearest_native(values, *image.size)
    return image.tile.cut(nearest_native(values, *image.tile.window))


def open_pooler(
    settings: Regions, regions: ImageRegions, height: int, width: int, tile: Tile | None = None
) -> BoxPooler | RegionMapPooler:
    """Return the pooler of all regions of an image, or of a tile for maps of its window.

    The pooler of a region map of a tile has one more region, the margin around the core.
    """
    if settings.are_boxes:
        place = None if tile is None else (*tile.window, tile.inner.top, tile.inner.left)
        return _box_pooler(settings, height, width, place)
    region_map = regions.region_map
    assert region_map is not None, "regions of sparse kinds are pooled by their boxes"
    if tile is not None and tile.size != tile.window:
        region_map = tile.place(region_map, int(region_map.max()) + 1)
    return RegionMapPooler(region_map)


@functools.lru_cache(maxsize=64)
def _box_pooler(
    settings: Regions, height: int, width: int, place: tuple[int, int, int, int] | None
) -> BoxPooler:
    """Return the pooler of images of one size, which share their regions; cached.

    Args:
        settings: kind of the regions.
        height, width: of the images.
        place: height and width of the window of tiles, and top and left of their core in it.
    """
    boxes = settings.of_image(height, width).boxes
    return BoxPooler(boxes, height, width) if place is None else placed_boxes(boxes, place)


def placed_boxes(boxes: np.ndarray, place: tuple[int, int, int, int]) -> BoxPooler:
    """Return the pooler of boxes in the core of a tile, for maps of its window.

    Args:
        boxes: int (R, 4), in pixels of the core.
        place: height and width of the window, and top and left of the core in it.
    """
    height, width, top, left = place
    return BoxPooler(boxes + np.array([top, left, top, left]), height, width)

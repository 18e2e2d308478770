"""The ground truth of queried regions, for the simulated annotator and EquAL's void filter."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.families.annotators import Truth
from ray_al.core.families.regions import ImageRegions
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets import masks

GroundTruth = Callable[[int, int], Truth]
"""(image_index, region) -> its ground truth."""


def ground_truth(
    manifest: pa.Table, regions_of: Callable[[int], ImageRegions], decoder: masks.MaskDecoder
) -> GroundTruth:
    """Return the only function that reads ground-truth masks of the pool.

    It raises DataError for a mask that cannot be used.

    Args:
        manifest: MANIFEST_SCHEMA.
        regions_of: image_index -> its regions.
        decoder: decodes masks.
    """
    mask_uris = manifest.column("mask_uri")
    heights, widths = manifest.column("height"), manifest.column("width")

    # A mask with an unknown id anywhere numbers its classes in another way, so its ids inside the
    # box cannot be trusted either.
    strict = dataclasses.replace(decoder, whole=True)

    def read(image_index: int, region: int) -> Truth:
        uri = mask_uris[image_index].as_py()
        height, width = heights[image_index].as_py(), widths[image_index].as_py()
        size = masks.read_mask_size(uri, decoder)
        if tuple(size) != (height, width):
            raise DataError(
                f"{uri}: the mask is {size[0]}x{size[1]} pixels, its image {height}x{width}; "
                "export the mask at the image's size"
            )
        whole = masks.read_kept_mask(uri, strict, (height, width))
        regions = regions_of(image_index)
        box = regions.box(region)
        ids = whole[box.top : box.bottom, box.left : box.right].copy()
        return Truth(ids=ids, region=regions.mask(region), box=box)

    return read


def is_void(read: GroundTruth, image_index: int, region: int) -> bool:
    """Return whether most of the region's ground truth is void, as EquAL's void filter asks.

    It reads labels that nobody has paid for.
    """
    try:
        truth = read(image_index, region)
    except DataError:
        return False  # the annotator will refuse the region and say why
    inside = truth.ids if truth.region is None else truth.ids[truth.region]
    return bool(np.mean(inside == IGNORE_INDEX) > 0.5)

"""The ground truth of the pool: what the simulated annotator reads of queried regions, and EquAL's void filter."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.families.annotators import Truth
from ray_al.core.families.regions import ImageRegions
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets import masks

GroundTruth = Callable[[int, int], Truth]
"""(image_index, region) -> what is there."""


def ground_truth(
    manifest: pa.Table, regions_of: Callable[[int], ImageRegions], decoder: Any
) -> GroundTruth:
    """The one door to the pool's masks."""
    mask_uris, heights, widths = (manifest.column(name) for name in ("mask_uri", "height", "width"))

    # A mask that holds an unknown id anywhere counts its classes in another way: what lies in the box cannot be believed either.
    strict = dataclasses.replace(decoder, whole=True)

    def read(image_index: int, region: int) -> Truth:
        uri, height, width = (
            mask_uris[image_index].as_py(),
            heights[image_index].as_py(),
            widths[image_index].as_py(),
        )
        size = masks.read_mask_size(uri)
        if tuple(size) != (height, width):
            raise DataError(
                f"{uri}: the mask is {size[0]}x{size[1]} pixels, its image {height}x{width}; export the mask at the image's size"
            )
        regions = regions_of(image_index)
        box = regions.box(region)
        return Truth(
            ids=masks.read_mask(uri, strict, box=box), region=regions.mask(region), box=box
        )

    return read


def is_void(read: GroundTruth, image_index: int, region: int) -> bool:
    """EquAL's void filter: most of the region's ground truth is void. It looks at labels that nobody paid for."""
    try:
        truth = read(image_index, region)
    except DataError:
        return False  # the annotator will refuse it and say why
    inside = truth.ids if truth.region is None else truth.ids[truth.region]
    return bool(np.mean(inside == IGNORE_INDEX) > 0.5)

"""The simulated annotator: it reads the ground truth of queried regions, and of nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.types import IGNORE_INDEX, LABEL_SCHEMA, Box
from ray_al.datasets import masks
from ray_al.datasets.compose import encode_mask
from ray_al.label import Labels

GroundTruth = Callable[[int, int], tuple[np.ndarray, Box]]
"""(image_index, region) -> class ids of the box (h, w) uint8, and the box."""


def ground_truth(manifest: pa.Table, regions: Any, decoder: Any) -> GroundTruth:
    """The one door to the pool's masks."""
    mask_uris, heights, widths = (manifest.column(name) for name in ("mask_uri", "height", "width"))

    def read(image_index: int, region: int) -> tuple[np.ndarray, Box]:
        uri, height, width = mask_uris[image_index].as_py(), heights[image_index].as_py(), widths[image_index].as_py()
        size = masks.read_mask_size(uri)
        if tuple(size) != (height, width):
            raise DataError(f"{uri}: the mask is {size[0]}x{size[1]} pixels, its image {height}x{width}; export the mask at the image's size")
        box = regions.box(region, height, width)
        return masks.read_mask(uri, decoder, box=box), box

    return read


def annotate(query: pa.Table, read: GroundTruth) -> Labels:
    """Label every region of `query` from its ground truth; a mask that cannot be used is refused with the reason."""
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for row in query.select(["image_index", "image_id", "region"]).to_pylist():
        try:
            mask, box = read(row["image_index"], row["region"])
        except (DataError, OSError) as error:
            refused.append({"image_id": row["image_id"], "region": row["region"], "reason": str(error), "final": True})
            continue
        rows.append({**row, "box": list(box.as_tuple()), "kind": "dense", "mask": encode_mask(mask), "annotator": "simulated", "seconds": 0.0})
    return Labels(table=pa.Table.from_pylist(rows, schema=LABEL_SCHEMA), refused=tuple(refused))


def is_void(read: GroundTruth, image_index: int, region: int) -> bool:
    """EquAL's void filter: most of the region's ground truth is void. It looks at labels that nobody paid for."""
    try:
        mask, _ = read(image_index, region)
    except (DataError, OSError):
        return False  # the annotator will refuse it and say why
    return bool(np.mean(mask == IGNORE_INDEX) > 0.5)

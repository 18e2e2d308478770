"""The work `maps`: compute the regions of images, at native size and once per run."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError
from ray_al.datasets.images import read_pool_image
from ray_al.datasets.pixels import PixelRule, to_picture
from ray_al.regions.maps import MappedRegions, maps_table
from ray_al.scoring.shards import ShardImage, ShardTask


def map_table(
    task: ShardTask, config: RunConfig, images: Sequence[ShardImage]
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Return MAP_SCHEMA, one row per image, and (image_id, error) of broken images."""
    kind = config.regions
    assert isinstance(kind, MappedRegions), "no other kind needs maps"
    rule = PixelRule.of(config.data)

    def segment(image: ShardImage) -> np.ndarray | str:
        try:
            seen = read_pool_image(image.row["uri"], image.size, rule)
            return kind.segment(to_picture(seen, config.data.shown_positions))
        except DataError as error:
            return str(error)

    # One thread: `segment` changes OpenCV's number of threads, a setting of the whole process,
    # and restores it.
    answers = [(image.row, segment(image)) for image in images]
    broken = [(row["image_id"], answer) for row, answer in answers if isinstance(answer, str)]
    return maps_table(
        (row["image_index"], row["image_id"], answer)
        for row, answer in answers
        if not isinstance(answer, str)
    ), broken

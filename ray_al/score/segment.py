"""The work `maps`: the regions of images, where a kind has to look at them; at native size, once a run."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError
from ray_al.datasets.images import read_pool_image
from ray_al.regions.maps import MappedRegions, maps_table
from ray_al.score.shards import ShardImage, ShardTask


def map_table(
    task: ShardTask, config: RunConfig, images: Sequence[ShardImage]
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """MAP_SCHEMA, a row an image, and (image_id, error) of broken images."""
    kind = config.regions
    assert isinstance(kind, MappedRegions), "no other kind needs maps"

    def segment(image: ShardImage) -> np.ndarray | str:
        try:
            return kind.segment(read_pool_image(image.row["uri"], image.size))
        except DataError as error:
            return str(error)

    # One thread: OpenCV's number of threads is a setting of the whole process, which `segment` changes and puts back.
    answers = [(image.row, segment(image)) for image in images]
    broken = [(row["image_id"], answer) for row, answer in answers if isinstance(answer, str)]
    return maps_table(
        (row["image_index"], row["image_id"], answer)
        for row, answer in answers
        if not isinstance(answer, str)
    ), broken

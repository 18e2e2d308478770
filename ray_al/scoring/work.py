"""Do a task: dispatch it to the module of its kind of work, and write its part."""

import io
import time
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.config import RunConfig
from ray_al.core.storage import Storage
from ray_al.datasets.whole import forget_files
from ray_al.scoring.embed import embed_shards
from ray_al.scoring.features import feature_table
from ray_al.scoring.region_scores import score_table
from ray_al.scoring.segment import map_table
from ray_al.scoring.shards import ShardImage, ShardResult, ShardTask, Work, shard_images

MakeTable = Callable[
    [ShardTask, RunConfig, Sequence[ShardImage]], tuple[pa.Table, list[tuple[str, str]]]
]
"""A task and its images -> the part, and (image_id, error) of broken images."""

TABLES: Mapping[Work, MakeTable] = {
    "maps": map_table,
    "scores": score_table,
    "features": feature_table,
}


def work_shard(task: ShardTask, config: RunConfig) -> ShardResult:
    """Do a task and write its part; the bytes do not depend on where or how often it runs."""
    if task.work == "embed":
        return embed_shards(task, config)
    began = time.perf_counter()
    images = list(shard_images(task, config))
    table, quarantined = TABLES[task.work](task, config, images)
    forget_files()
    file = None
    if len(table):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        file = Storage(task.run_uri).put(
            f"{task.output}/part-{task.shard:05d}.parquet", buffer.getvalue(), attempt=task.attempt
        )
    return ShardResult(
        shard=task.shard,
        file=file,
        num_rows=len(table),
        num_images=len(images) - len(quarantined),
        seconds=time.perf_counter() - began,
        quarantined=tuple(quarantined),
    )

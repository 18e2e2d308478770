"""The work `embed`: store the features that a frozen backbone computes of a shard's images."""

import time

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.datasets.whole import forget_files
from ray_al.features.fill import fill_shard
from ray_al.scoring.readers import load_pool_source
from ray_al.scoring.scorer import GPU_WORKER_THREADS
from ray_al.scoring.shards import ShardResult, ShardTask


def embed_shards(task: ShardTask, config: RunConfig) -> ShardResult:
    """Store the task's views of its images, shard by shard; shards already stored are kept.

    All images are stored, whatever the run has left out so far, so every run writes the same bytes.
    Broken images are reported if this run did not know of them.
    """
    began = time.perf_counter()
    source = load_pool_source(config.model_dump_json(), task.run_uri, task.manifest)
    assert source.store is not None
    threads = config.scoring.threads if source.device == "cpu" else GPU_WORKER_THREADS
    shards = range(task.shard, -(-task.stop // source.shards.size))
    broken: list[tuple[int, str]] = []
    for shard in shards:
        broken += fill_shard(source, source.store, shard, task.views, threads)
    forget_files()
    bits = np.unpackbits(np.frombuffer(task.images, dtype=np.uint8), count=task.stop - task.start)
    new = [(number, error) for number, error in broken if bits[number - task.start]]
    return ShardResult(
        shard=task.shard,
        file=None,
        num_rows=task.stop - task.start,
        num_images=task.stop - task.start - len(broken),
        seconds=time.perf_counter() - began,
        quarantined=tuple(
            (str(source.shards.row(number)["image_id"]), error) for number, error in new
        ),
        names=tuple(source.name(shard, task.views[0]) for shard in shards),
    )

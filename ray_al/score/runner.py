"""The Ray Data shell: shards mapped over the cluster, results as they come."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError
from ray_al.score.shards import ShardResult, ShardTask, work_shard

NO_PROGRESS_TIMEOUT_S = 1800


def run_shards(
    tasks: list[ShardTask],
    config: RunConfig,
    on_results: Callable[[list[ShardResult]], None],
) -> None:
    """Do `tasks` in this process (`score.workers: 0`) or on Ray Data; only names and digests of parts come back.

    An exception of `on_results` ends the work. A return means that every task is done.

    Raises:
        ReadError: an image or a file of the run could not be read just now.
        RayALError: a task failed for another reason than a broken image.
    """
    if not tasks:
        return
    if config.score.workers == 0:
        for task in tasks:
            on_results([work_shard(task, config)])
        return
    rows = _dataset(tasks, config).iter_batches(batch_size=None, prefetch_batches=0)
    for batch in rows:
        results = [pickle.loads(result) for result in batch["result"]]
        for result in results:
            if isinstance(result, RayALError):
                raise result
        on_results(results)


def _dataset(tasks: list[ShardTask], config: RunConfig) -> Any:
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    items = [{"task": pickle.dumps(task)} for task in tasks]
    dataset = ray.data.from_items(items, override_num_blocks=len(items))
    if config.score.gpus_per_worker:
        # A GPU task ends its process; an actor keeps the network for all its shards, and frees the GPU before training.
        pool = ActorPoolStrategy(min_size=1, max_size=config.score.workers)
        return dataset.map_batches(
            ShardMapper, fn_constructor_args=(config,), batch_size=1, compute=pool, num_gpus=config.score.gpus_per_worker, num_cpus=0
        )
    return dataset.map_batches(
        score_batch, fn_kwargs={"config": config}, batch_size=1, compute=TaskPoolStrategy(size=config.score.workers), num_cpus=0.5
    )


def score_batch(batch: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """One row a task in, one row a result out; both pickled. An error of ours is a result too: Ray would wrap it."""
    results = []
    for data in batch["task"]:
        task = pickle.loads(data)
        results.append(pickle.dumps(_result_or_error(task, config)))
    return {"result": np.array(results, dtype=object)}


def _result_or_error(task: ShardTask, config: RunConfig) -> ShardResult | RayALError:
    try:
        return work_shard(task, config)
    except RayALError as error:
        return error
    except MemoryError as error:
        return RayALError(f"shard {task.shard}: not enough memory ({error}); lower score.batch_size or data.cache_gb")


class ShardMapper:
    """`score_batch` as an actor."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return score_batch(batch, self.config)

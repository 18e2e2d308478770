"""Run the tasks of a pass over the pool, in this process or on the cluster with Ray Data."""

import logging
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.errors import ClusterError, RayALError
from ray_al.scoring.shards import ShardResult, ShardTask
from ray_al.scoring.work import work_shard

Batch = dict[str, np.ndarray]
"""Columns of a batch of Ray Data."""
Answer = Batch | BaseException | None
"""A batch that was read, the error that ended reading, or None once all batches were read."""


class HasShard(Protocol):
    """A task, which can be pickled."""

    @property
    def shard(self) -> int:
        """Its number, for messages."""


Task = TypeVar("Task", bound=HasShard)
Result = TypeVar("Result")
Work = Callable[[Any, RunConfig], Any]
"""A function of a module that does a task."""

NO_PROGRESS_TIMEOUT_S = 1800
POLL_S = 0.25
LOOK_S = 60.0
"""How often the cluster is asked whether a scorer runs, once none has answered for long."""


def run_shards(
    tasks: list[ShardTask],
    config: RunConfig,
    on_results: Callable[[list[ShardResult]], None],
    watch: Callable[[float], None] = lambda silent_s: None,
) -> None:
    """Do tasks of a pass over the pool; see `run_tasks`.

    Only names and digests of parts come back.
    """
    run_tasks(tasks, work_shard, config, on_results, watch)


def run_tasks(
    tasks: Sequence[Task],
    work: Callable[[Task, RunConfig], Result],
    config: RunConfig,
    on_results: Callable[[list[Result]], None],
    watch: Callable[[float], None] = lambda silent_s: None,
) -> None:
    """Do `tasks` in this process (`scoring.workers: 0`) or on Ray Data.

    An exception raised by `on_results` or `watch` ends the work; on return, every task is done.

    Args:
        tasks: what to do.
        work: does a task; a function of a module, so that workers find it.
        config: whose section `scoring` says where tasks run.
        on_results: called with the results of some tasks, in any order.
        watch: called with the seconds since the last result, several times a second while waiting
            for results; between two tasks if they run in this process.

    Raises:
        ReadError: an image or a file of the run cannot be read at the moment.
        RayALError: a task failed for another reason than a broken image.
        ClusterError: the cluster started no scorer within `cluster.start_timeout_s`.
    """
    if not tasks:
        return
    if config.scoring.workers == 0:
        for task in tasks:
            watch(0.0)
            on_results([work(task, config)])
        return
    for batch in _watched(_dataset(tasks, work, config), config, watch):
        results = [pickle.loads(result) for result in batch["result"]]
        for result in results:
            if isinstance(result, RayALError):
                raise result
        on_results(results)


def _watched(dataset: Any, config: RunConfig, watch: Callable[[float], None]) -> Iterator[Batch]:
    """Yield the batches of `dataset`, read in a thread.

    Reading blocks: without the thread, the work could be neither watched nor stopped.
    """
    results: queue.Queue[Answer] = queue.Queue()
    ended = threading.Event()

    def read() -> None:
        try:
            for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
                results.put(batch)
                if ended.is_set():
                    return
            results.put(None)
        except BaseException as error:  # raised by the thread that waits
            results.put(error)

    threading.Thread(target=read, daemon=True, name="ray-al-score").start()
    try:
        while (found := _next(results, config, watch)) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        ended.set()


def _next(
    results: "queue.Queue[Answer]", config: RunConfig, watch: Callable[[float], None]
) -> Answer:
    """Return the next batch, an error, or the end mark, and call `watch` meanwhile."""
    start, limit = time.monotonic(), config.cluster.start_timeout_s
    look = limit
    while True:
        try:
            return results.get(timeout=POLL_S)
        except queue.Empty:
            silent_s = time.monotonic() - start
        watch(silent_s)
        if silent_s > look and not _scores():
            raise ClusterError(
                f"no scorer started within cluster.start_timeout_s={limit:g} s; "
                "look at `ray status` for what takes the CPUs and GPUs, "
                "free them or add nodes, then resume"
            )
        look = max(look, silent_s + LOOK_S) if silent_s > look else look


def _scores() -> bool:
    """Return whether a scorer of this job is running."""
    # Ray is imported only where it runs: `scoring.workers: 0` does without it.
    import ray
    from ray.util.state import list_tasks

    job = ray.get_runtime_context().get_job_id()
    running = list_tasks(filters=[("job_id", "=", job), ("state", "=", "RUNNING")], limit=1000)
    return any("MapBatches" in (task.name or "") for task in running)


def _dataset(tasks: Sequence[HasShard], work: Work, config: RunConfig) -> Any:
    # Ray is imported only where it runs, as above.
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

    # Ray Data has a logger of its own, and tells each execution in several lines.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    items = [{"task": pickle.dumps(task)} for task in tasks]
    dataset = ray.data.from_items(items, override_num_blocks=len(items))
    if config.scoring.gpus_per_worker:
        # A GPU task ends its process after each shard. An actor keeps the network for all its
        # shards, and frees the GPU before training.
        pool = ActorPoolStrategy(min_size=1, max_size=config.scoring.workers)
        return dataset.map_batches(
            ShardMapper,
            fn_constructor_args=(work, config),
            batch_size=1,
            compute=pool,
            num_gpus=config.scoring.gpus_per_worker,
            num_cpus=0,
        )
    return dataset.map_batches(
        score_batch,
        fn_kwargs={"work": work, "config": config},
        batch_size=1,
        compute=TaskPoolStrategy(size=config.scoring.workers),
        num_cpus=0.5,
    )


def score_batch(batch: Batch, work: Work, config: RunConfig) -> Batch:
    """Do pickled tasks, one per row, and return pickled results, one per row.

    Errors of this package are results too, since Ray would wrap them.
    """
    results = []
    for data in batch["task"]:
        task = pickle.loads(data)
        results.append(pickle.dumps(_result_or_error(task, work, config)))
    return {"result": np.array(results, dtype=object)}


def _result_or_error(task: HasShard, work: Work, config: RunConfig) -> Any:
    try:
        return work(task, config)
    except RayALError as error:
        return error
    except MemoryError as error:
        return RayALError(
            f"shard {task.shard}: not enough memory ({error}); "
            "lower scoring.batch_size or data.cache_gb"
        )


class ShardMapper:
    """`score_batch` as an actor, which keeps its network from shard to shard."""

    def __init__(self, work: Work, config: RunConfig) -> None:
        self.work = work
        self.config = config

    def __call__(self, batch: Batch) -> Batch:
        return score_batch(batch, self.work, self.config)

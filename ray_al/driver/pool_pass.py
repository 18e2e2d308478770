"""Work on the whole pool in shards, and record each shard when it is done."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ray_al.core.errors import Interrupted
from ray_al.driver.context import Context
from ray_al.driver.training import score_weights
from ray_al.ledger.records import BrokenImage, Record, ShardFile
from ray_al.scoring.shards import ShardResult, ShardTask, Work, make_tasks

SAY_S = 30.0
"""Waits for a shard that last longer are reported; the cluster may have no room for a scorer."""
Part = TypeVar("Part")


@dataclass
class Totals:
    """How many images the tasks of a pass worked on, and the seconds of all workers."""

    num_images: int = 0
    work_seconds: float = 0.0


def make_pass(
    context: Context,
    work: Work,
    cycle: int,
    *,
    images: np.ndarray,
    regions_of: Callable[[int, int], bytes],
    done: Collection[int],
    output: str,
    first_shard: int = 0,
) -> list[ShardTask]:
    """Make the tasks of a pass over the pool; arguments as of `make_tasks`."""
    state = context.state
    return list(
        make_tasks(
            context.config,
            len(context.pool.manifest),
            work=work,
            images=images,
            regions_of=regions_of,
            done=set(done),
            first_shard=first_shard,
            output=output,
            cycle=cycle,
            seed=context.config.seed,
            run_uri=context.storage.root,
            manifest=state.created.manifest,
            weights=score_weights(context, cycle) if work != "maps" else (),
            maps=state.map_parts if context.pool.kind.needs_maps and work != "maps" else None,
            attempt=state.attempt,
        )
    )


def file_parts(result: ShardResult) -> list[ShardFile]:
    """Return what is recorded of a task that wrote the file of one shard."""
    return [ShardFile(shard=result.shard, file=result.file, num_rows=result.num_rows)]


def run_pass(
    context: Context,
    tasks: list[ShardTask],
    stage: str,
    record_of: Callable[[tuple[ShardFile, ...]], Record],
    *,
    note_on_broken: str = "",
) -> Totals:
    """Run tasks of which each writes the file of one shard; arguments as of `run_tasks`."""
    return run_tasks(
        context, tasks, stage, record_of, parts_of=file_parts, note_on_broken=note_on_broken
    )


def run_tasks(
    context: Context,
    tasks: list[ShardTask],
    stage: str,
    record_of: Callable[[tuple[Part, ...]], Record],
    *,
    parts_of: Callable[[ShardResult], list[Part]],
    note_on_broken: str = "",
) -> Totals:
    """Run the tasks; each part is recorded when it is done, so no work is done twice.

    Args:
        stage: name of the stage in the status.
        record_of: returns the record of finished parts.
        parts_of: returns the parts that a task has finished.
        note_on_broken: ends what is recorded of broken images.
    """
    # Loads PyTorch, which deciding on actions does not need.
    from ray_al.scoring.runner import run_shards

    recorder = _Recorder(
        context, stage, record_of, parts_of, num_tasks=len(tasks), note_on_broken=note_on_broken
    )
    run_shards(tasks, context.config, recorder.on_results, recorder.watch)
    return recorder.totals


class _Recorder(Generic[Part]):
    """Records the results of tasks and reports their progress; arguments as of `run_tasks`."""

    def __init__(
        self,
        context: Context,
        stage: str,
        record_of: Callable[[tuple[Part, ...]], Record],
        parts_of: Callable[[ShardResult], list[Part]],
        *,
        num_tasks: int,
        note_on_broken: str,
    ) -> None:
        self.context, self.stage = context, stage
        self.record_of, self.parts_of = record_of, parts_of
        self.note_on_broken, self.totals = note_on_broken, Totals()
        self._num_done, self._num_tasks = 0, num_tasks
        self._note()

    def on_results(self, results: list[ShardResult]) -> None:
        self.totals.num_images += sum(result.num_images for result in results)
        self.totals.work_seconds += sum(result.seconds for result in results)
        self._num_done += len(results)
        broken: list[BrokenImage] = []
        parts: list[Part] = []
        for result in results:
            broken += [
                BrokenImage(image_id=image_id, error=error + self.note_on_broken)
                for image_id, error in result.quarantined
            ]
            parts += self.parts_of(result)
        if broken:  # first, because a recorded part is not worked on again
            self.context.quarantine(broken)
        self.context.append(self.record_of(tuple(parts)))
        self._note()

    def watch(self, silent_s: float) -> None:
        """Report a wait; called while no result comes.

        Raises:
            Interrupted: somebody asked for a clean end.
        """
        if self.context.should_stop():
            raise Interrupted("interrupted while the pool was worked on")
        if silent_s > SAY_S:
            waited = silent_s // SAY_S * SAY_S
            config = self.context.config
            gpus = config.scoring.gpus_per_worker
            scorer = f"a scorer with {gpus:g} GPUs" if gpus else "a scorer"
            self._note(
                f"{self.stage} {self._num_done} of {self._num_tasks}, waiting for the next shard, "
                f"{waited:.0f} s; {scorer} must start within {config.cluster.start_timeout_s:g} s"
            )

    def _note(self, *waiting: str) -> None:
        self.context.note(self.stage, self._num_done, self._num_tasks, *waiting)

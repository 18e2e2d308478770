"""Work on the whole pool: compute regions, scores and features, and pick images to score."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_al.core.errors import Interrupted
from ray_al.core.run_dir import CycleDir, RunDir
from ray_al.core.seeding import seed_of, uniform_of
from ray_al.core.strategy import LazyConfig
from ray_al.datasets.manifest import relative_places
from ray_al.driver import decide as actions
from ray_al.driver.budget import check_budget, total_amount
from ray_al.driver.choose import choose_best
from ray_al.driver.context import Context, Done
from ray_al.driver.costs import query_amount
from ray_al.driver.pool import read_table, shard_numbers, table_bytes
from ray_al.driver.quarantine import NO_REGIONS
from ray_al.driver.scored_pool import candidates_of
from ray_al.driver.training import score_weights
from ray_al.ledger.records import PoolScored
from ray_al.scoring.runner import run_shards
from ray_al.scoring.shards import ShardResult, ShardTask, Work, make_tasks
from ray_al.select.lazy import estimate_recall, last_scores, pick_images

SAY_S = 30.0
"""Waits for a shard that last longer are reported; the cluster may have no room for a scorer."""
MAX_LABELLED = 20_000
"""Maximum number of labelled regions whose features are compared with those of candidates.

If there are more, a deterministic sample of this size is used."""


def segment(context: Context, action: actions.Segment) -> Done:
    """Compute the regions of every image, then the manifest and the budget from their number."""
    start, pool = time.monotonic(), context.pool
    tasks = _tasks(
        context,
        "maps",
        0,
        images=~pool.broken,
        regions_of=lambda start, stop: b"",
        done=set(context.state.map_parts),
        output=RunDir.MAPS,
    )
    run_tasks(context, tasks, "segment", "images_segmented", {})
    counts = np.zeros(len(pool.manifest), dtype=np.int32)
    for ref in context.state.map_parts.values():
        if ref is not None:
            table = read_table(context.storage, ref, ["image_index", "num_regions"])
            counts[table.column("image_index").to_numpy()] = table.column("num_regions").to_numpy()
    manifest = pool.manifest.set_column(
        pool.manifest.schema.get_field_index("num_regions"),
        "num_regions",
        pa.array(counts, pa.int32()),
    )
    stored = relative_places(manifest, context.dataset.root)
    ref = context.storage.put(RunDir.MAPS_MANIFEST, table_bytes(stored), attempt=context.state.term)
    created = {**context.state.created.sizes, "num_regions": int(counts.sum())}
    amount = total_amount(context.config.budget, created)
    check_budget(context.config, created, manifest, context.dataset.num_classes)
    return "regions_computed", {
        "manifest": ref.as_dict(),
        "num_regions": created["num_regions"],
        "amount": amount,
        "seconds": time.monotonic() - start,
    }


def score(context: Context, action: actions.Score) -> Done:
    """Score the regions that may still be queried, of all images or of those picked for scoring."""
    start, cycle, pool = time.monotonic(), action.cycle, context.pool
    lazy = context.config.strategy.lazy if cycle > 0 else None
    images = left = pool.images_left()
    if lazy:
        picked, check = _lazy_images(context, cycle, lazy, left)
        images = left & ~picked & ~check if action.rest else left & (picked | check)
    state = context.state
    tasks = _tasks(
        context,
        "scores",
        cycle,
        images=images,
        regions_of=pool.shard_regions,
        done=set(state.scores.get(cycle, {})),
        output=CycleDir(cycle).scores,
        first_shard=_num_shards(context) if action.rest else 0,
    )
    facts = run_tasks(context, tasks, "score", "shards_scored", {"cycle": cycle})
    before = state.scored.get(cycle, PoolScored(cycle=cycle, num_images=0, seconds=0.0))
    event: dict[str, Any] = {
        "cycle": cycle,
        "num_images": before.num_images + facts["num_images"],
        "seconds": before.seconds + time.monotonic() - start,
        "work_seconds": before.work_seconds + facts["work_seconds"],
    }
    if lazy:
        recall = before.recall
        if not action.rest:
            best = choose_best(context, cycle, query_amount(context, cycle))
            chosen = best.column("image_index").to_numpy()
            left = pool.images_left()  # without those that broke meanwhile
            recall = estimate_recall(chosen, picked, check & left, left)
        event.update(num_left=int(left.sum()), rest=action.rest, recall=recall)
    return "pool_scored", event


def extract(context: Context, action: actions.Extract) -> Done:
    """Compute the features of the best candidates and of labelled regions to compare them with."""
    start, cycle, pool = time.monotonic(), action.cycle, context.pool
    wanted = np.union1d(
        pool.numbers(candidates_of(context, cycle)), _labelled_numbers(context, cycle)
    )
    images = np.zeros(len(pool.manifest), dtype=bool)
    images[np.unique(np.searchsorted(pool.offsets, wanted, side="right") - 1)] = True
    tasks = _tasks(
        context,
        "features",
        cycle,
        images=images & ~pool.broken,
        regions_of=lambda first, last: shard_numbers(
            wanted, int(pool.offsets[first]), int(pool.offsets[last])
        ),
        done=set(context.state.features.get(cycle, {})),
        output=CycleDir(cycle).features,
    )
    facts = run_tasks(context, tasks, "features", "shards_extracted", {"cycle": cycle})
    return "features_extracted", {
        "cycle": cycle,
        "num_regions": len(wanted),
        "num_images": facts["num_images"],
        "seconds": time.monotonic() - start,
    }


def _labelled_numbers(context: Context, cycle: int) -> np.ndarray:
    """Return the flat numbers of at most `MAX_LABELLED` labelled regions: the lowest draws."""
    numbers = context.pool.labelled_numbers
    if len(numbers) > MAX_LABELLED:
        drawn = uniform_of(seed_of("labelled", context.config.seed, cycle), numbers)
        numbers = np.sort(numbers[np.argsort(drawn, kind="stable")[:MAX_LABELLED]])
    return numbers


def _num_shards(context: Context) -> int:
    num_images = len(context.pool.manifest)
    return -(-num_images // context.config.shard_size(num_images))


def _tasks(
    context: Context,
    work: Work,
    cycle: int,
    *,
    images: np.ndarray,
    regions_of: Callable[[int, int], bytes],
    done: set[int],
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
            done=done,
            first_shard=first_shard,
            output=output,
            cycle=cycle,
            seed=context.config.seed,
            run_uri=context.storage.root,
            manifest=state.created.manifest,
            weights=score_weights(context, cycle) if work != "maps" else (),
            maps=state.map_parts if context.pool.kind.needs_maps and work != "maps" else None,
            attempt=state.term,
        )
    )


def _file_parts(result: ShardResult) -> list[dict[str, Any]]:
    return [
        {
            "shard": result.shard,
            "file": result.file.as_dict() if result.file else None,
            "num_rows": result.num_rows,
        }
    ]


def run_tasks(
    context: Context,
    tasks: list[ShardTask],
    stage: str,
    kind: str,
    facts: dict[str, Any],
    *,
    parts_of: Callable[[ShardResult], list[dict[str, Any]]] = _file_parts,
) -> dict[str, Any]:
    """Run the tasks; each part is recorded when it is done, so no work is done twice.

    Args:
        stage: name of the stage in the status.
        kind: kind of the events that record parts.
        facts: data of each of these events, in addition to its parts.
        parts_of: returns the parts that the event lists for a task.

    Returns:
        `num_images` and `work_seconds`, summed over the tasks.
    """
    recorder = _Recorder(context, stage, kind, facts, parts_of, num_tasks=len(tasks))
    run_shards(tasks, context.config, recorder.on_results, recorder.watch)
    return recorder.totals


class _Recorder:
    """Records the results of tasks and reports their progress; arguments as of `run_tasks`."""

    def __init__(
        self,
        context: Context,
        stage: str,
        kind: str,
        facts: Mapping[str, Any],
        parts_of: Callable[[ShardResult], list[dict[str, Any]]],
        *,
        num_tasks: int,
    ) -> None:
        self.context, self.stage, self.kind = context, stage, kind
        self.facts, self.parts_of = facts, parts_of
        self.totals: dict[str, Any] = {"num_images": 0, "work_seconds": 0.0}
        self._num_done, self._num_tasks = 0, num_tasks
        self._note()

    def on_results(self, results: list[ShardResult]) -> None:
        self.totals["num_images"] += sum(result.num_images for result in results)
        self.totals["work_seconds"] += sum(result.seconds for result in results)
        self._num_done += len(results)
        note = NO_REGIONS if self.kind == "images_segmented" else ""
        broken: list[dict[str, str]] = []
        parts: list[dict[str, Any]] = []
        for result in results:
            broken += [
                {"image_id": image_id, "error": error + note}
                for image_id, error in result.quarantined
            ]
            parts += self.parts_of(result)
        if broken:  # first, because a recorded part is not worked on again
            self.context.quarantine(broken)
        self.context.append(self.kind, {**self.facts, "parts": parts})
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


def _lazy_images(
    context: Context, cycle: int, lazy: LazyConfig, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images picked for scoring and the check sample, each bool (images,).

    They are recorded before the first of them is scored.
    """
    if cycle not in context.state.picked:
        _pick(context, cycle, lazy, left)
    table = read_table(context.storage, context.state.picked[cycle])
    picked, check = np.zeros_like(left), np.zeros_like(left)
    for mask, wanted in ((picked, False), (check, True)):
        rows = table.filter(pc.equal(table.column("check"), wanted))
        mask[rows.column("image_index").to_numpy()] = True
    return picked, check


def _pick(context: Context, cycle: int, lazy: LazyConfig, left: np.ndarray) -> None:
    """Pick the images to score by their last scores, and record them."""
    earlier = sorted((number for number in context.state.scores if number < cycle), reverse=True)
    highest = last_scores((_parts_left(context, number) for number in earlier), left)
    picked, check = pick_images(highest, left, lazy, seed=context.config.seed, cycle=cycle)
    rows = np.flatnonzero(picked | check)
    table = pa.table({"image_index": pa.array(rows, pa.int64()), "check": pa.array(check[rows])})
    ref = context.storage.put(
        CycleDir(cycle).picked, table_bytes(table), attempt=context.state.term
    )
    context.append(
        "images_picked",
        {
            "cycle": cycle,
            "file": ref.as_dict(),
            "num_picked": int(picked.sum()),
            "num_check": int(check.sum()),
        },
    )


def _parts_left(context: Context, cycle: int) -> Iterator[pa.Table]:
    """Yield the scores of an earlier cycle, of regions that may still be queried."""
    for ref in context.state.scores[cycle].values():
        if ref is not None:
            part = read_table(context.storage, ref, ["image_index", "region", "score"])
            yield part.filter(pa.array(~context.pool.is_chosen(part)))

"""Work over the pool: regions of images, scores, features; and which images lazy scoring leaves out."""

import time
from collections.abc import Callable, Iterator
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
from ray_al.score.runner import run_shards
from ray_al.score.shards import ShardResult, ShardTask, make_tasks
from ray_al.select.lazy import estimate_recall, last_scores, pick_images

SAY_S = 30.0
"""A shard that takes longer is told of; the cluster may have no room for a scorer."""
MAX_LABELLED = 20_000
"""Labelled regions whose features are compared with those of candidates; of more, so many are drawn by name."""


def segment(context: Context, action: actions.Segment) -> Done:
    """Compute the regions of every image, then the manifest and the budget that follow from their number."""
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
    """Score what may still be chosen, of all images or of those that lazy scoring picks."""
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
            chosen = (
                choose_best(context, cycle, query_amount(context, cycle))
                .column("image_index")
                .to_numpy()
            )
            left = pool.images_left()  # without those that broke meanwhile
            recall = estimate_recall(chosen, picked, check & left, left)
        event.update(num_left=int(left.sum()), rest=action.rest, recall=recall)
    return "pool_scored", event


def extract(context: Context, action: actions.Extract) -> Done:
    """Compute the features of the best candidates, and of labelled regions to compare them with."""
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
    """Flat numbers of the labelled regions, at most `MAX_LABELLED`: of more, those with the lowest draws."""
    numbers = context.pool.labelled_numbers
    if len(numbers) > MAX_LABELLED:
        drawn = uniform_of(seed_of("labelled", context.config.seed, cycle), numbers)
        numbers = np.sort(numbers[np.argsort(drawn, kind="stable")[:MAX_LABELLED]])
    return numbers


def _num_shards(context: Context) -> int:
    num_images = len(context.pool.manifest)
    return -(-num_images // context.config.shard_size(num_images))


def _tasks(context: Context, work: Any, cycle: int, **arguments: Any) -> list[ShardTask]:
    state = context.state
    return list(
        make_tasks(
            context.config,
            len(context.pool.manifest),
            work=work,
            cycle=cycle,
            seed=context.config.seed,
            run_uri=context.storage.root,
            manifest=state.created.manifest,
            weights=score_weights(context, cycle) if work != "maps" else (),
            maps=state.map_parts if context.pool.kind.needs_maps and work != "maps" else None,
            attempt=state.term,
            **arguments,
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
    """Run the tasks; each part is recorded as it comes, so that no work is done twice.

    Args:
        stage: what the status says.
        kind: of the events that record parts.
        facts: of each of these events, beside its parts.
        parts_of: what such an event says of a task.
    """
    totals = {"num_images": 0, "work_seconds": 0.0}
    num_done = 0
    context.note(stage, 0, len(tasks))

    def on_results(results: list[ShardResult]) -> None:
        nonlocal num_done
        totals["num_images"] += sum(result.num_images for result in results)
        totals["work_seconds"] += sum(result.seconds for result in results)
        num_done += len(results)
        note = NO_REGIONS if kind == "images_segmented" else ""
        broken = [
            {"image_id": image_id, "error": error + note}
            for result in results
            for image_id, error in result.quarantined
        ]
        if broken:  # first, as a part that is recorded is not worked on again
            context.quarantine(broken)
        context.append(
            kind, {**facts, "parts": [part for result in results for part in parts_of(result)]}
        )
        context.note(stage, num_done, len(tasks))

    def watch(silent_s: float) -> None:
        if context.should_stop():
            raise Interrupted("interrupted while the pool was worked on")
        if silent_s > SAY_S:
            waited = silent_s // SAY_S * SAY_S
            context.note(
                stage,
                num_done,
                len(tasks),
                f"{stage} {num_done} of {len(tasks)}, waiting for the next shard, {waited:.0f} s",
            )

    run_shards(tasks, context.config, on_results, watch)
    return totals


def _lazy_images(
    context: Context, cycle: int, lazy: LazyConfig, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The images that are picked and the check sample, as they were recorded before the first of them was scored."""
    if cycle not in context.state.picked:
        _pick(context, cycle, lazy, left)
    table = read_table(context.storage, context.state.picked[cycle])
    picked, check = np.zeros_like(left), np.zeros_like(left)
    for mask, wanted in ((picked, False), (check, True)):
        mask[
            table.filter(pc.equal(table.column("check"), wanted)).column("image_index").to_numpy()
        ] = True
    return picked, check


def _pick(context: Context, cycle: int, lazy: LazyConfig, left: np.ndarray) -> None:
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
    for ref in context.state.scores[cycle].values():
        if ref is not None:
            part = read_table(context.storage, ref, ["image_index", "region", "score"])
            yield part.filter(pa.array(~context.pool.is_chosen(part)))

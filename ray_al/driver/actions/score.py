"""Score the pool, or the images of it that lazy scoring picks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import CycleDir
from ray_al.core.strategy import LazyConfig
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.costs import amount_to_reserve
from ray_al.driver.cycles import needs_scores, next_cycle
from ray_al.driver.pool import read_table, table_bytes
from ray_al.driver.pool_pass import make_pass, run_pass
from ray_al.ledger import State
from ray_al.ledger.records import ImagesPicked, PoolScored, ShardsScored
from ray_al.select.lazy import estimate_recall, last_scores, pick_images


@dataclass(frozen=True)
class Score(Action):
    """Score the pool, or only the images that lazy scoring left out if `rest` is set."""

    cycle: int
    rest: bool = False

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Score once a cycle, and once more if lazy scoring missed too much."""
        cycle = next_cycle(state, config)
        if not needs_scores(config, cycle):
            return None
        if cycle not in state.scored:
            return cls(cycle)
        return cls(cycle, rest=True) if must_score_rest(state, config, cycle) else None

    def perform(self, context: Context) -> PoolScored:
        """Score the regions that may still be queried, of all images or of those picked."""
        start, cycle, pool = time.monotonic(), self.cycle, context.pool
        lazy = context.config.strategy.lazy if cycle > 0 else None
        images = left = pool.images_left()
        if lazy:
            picked, check = _lazy_images(context, cycle, lazy, left)
            images = left & ~picked & ~check if self.rest else left & (picked | check)
        tasks = make_pass(
            context,
            "scores",
            cycle,
            images=images,
            regions_of=pool.shard_regions,
            done=context.state.scores.get(cycle, {}).keys(),
            output=CycleDir(cycle).scores,
            first_shard=_num_shards(context) if self.rest else 0,
        )
        totals = run_pass(
            context, tasks, "score", lambda parts: ShardsScored(cycle=cycle, parts=parts)
        )
        before = context.state.scored.get(cycle, PoolScored(cycle=cycle, num_images=0, seconds=0.0))
        scored = PoolScored(
            cycle=cycle,
            num_images=before.num_images + totals.num_images,
            seconds=before.seconds + time.monotonic() - start,
            work_seconds=before.work_seconds + totals.work_seconds,
        )
        if not lazy:
            return scored
        recall = before.recall
        if not self.rest:
            left = pool.images_left()  # without those that broke meanwhile
            recall = estimate_recall(_best_images(context, cycle), picked, check & left, left)
        return replace(scored, num_left=int(left.sum()), rest=self.rest, recall=recall)


def _best_images(context: Context, cycle: int) -> np.ndarray:
    """Return the image of each region of a query that goes by the scores alone, int64 (k,)."""
    # Loads PyTorch, which deciding on actions does not need.
    from ray_al.driver.select_query import select_best

    best = select_best(context, cycle, amount_to_reserve(context, cycle))
    images: np.ndarray = best.column("image_index").to_numpy()
    return images


def must_score_rest(state: State, config: RunConfig, cycle: int) -> bool:
    """Return whether lazy scoring missed too much of the query, and the rest is not scored yet.

    It may miss as much of the query of the whole pool as `strategy.lazy.min_recall` allows.
    """
    recall, lazy = state.scored[cycle].recall, config.strategy.lazy
    return (
        lazy is not None
        and recall is not None
        and recall < lazy.min_recall
        and not state.scored[cycle].rest
    )


def _num_shards(context: Context) -> int:
    num_images = len(context.pool.manifest)
    return -(-num_images // context.config.shard_size(num_images))


def _lazy_images(
    context: Context, cycle: int, lazy: LazyConfig, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images picked for scoring and the check sample, each bool (images,).

    They are recorded before the first of them is scored.
    """
    if cycle not in context.state.picked:
        _pick_images(context, cycle, lazy, left)
    table = read_table(context.storage, context.state.picked[cycle])
    picked, check = np.zeros_like(left), np.zeros_like(left)
    for mask, wanted in ((picked, False), (check, True)):
        rows = table.filter(pc.equal(table.column("check"), wanted))
        mask[rows.column("image_index").to_numpy()] = True
    return picked, check


def _pick_images(context: Context, cycle: int, lazy: LazyConfig, left: np.ndarray) -> None:
    """Pick the images to score by their last scores, and record them."""
    earlier = sorted((number for number in context.state.scores if number < cycle), reverse=True)
    highest = last_scores((_parts_left(context, number) for number in earlier), left)
    picked, check = pick_images(highest, left, lazy, seed=context.config.seed, cycle=cycle)
    rows = np.flatnonzero(picked | check)
    table = pa.table({"image_index": pa.array(rows, pa.int64()), "check": pa.array(check[rows])})
    ref = context.storage.put(
        CycleDir(cycle).picked, table_bytes(table), attempt=context.state.attempt
    )
    context.append(
        ImagesPicked(
            cycle=cycle, file=ref, num_picked=int(picked.sum()), num_check=int(check.sum())
        )
    )


def _parts_left(context: Context, cycle: int) -> Iterator[pa.Table]:
    """Yield the scores of an earlier cycle, of regions that may still be queried."""
    for ref in context.state.scores[cycle].values():
        if ref is not None:
            part = read_table(context.storage, ref, ["image_index", "region", "score"])
            yield part.filter(pa.array(~context.pool.is_chosen(part)))

"""Read the scored pool of a cycle: its scores, the best candidates and their features."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import pyarrow as pa

from ray_al.acquisition import Acquisition, open_acquisition
from ray_al.core.arrays import is_among
from ray_al.core.errors import RayALError
from ray_al.core.families.batch import Moment
from ray_al.core.types import SCORE_SCHEMA, FileRef
from ray_al.driver.budget import num_queries
from ray_al.driver.context import Context
from ray_al.driver.costs import amount_to_reserve, typical_cost, upper_bounds
from ray_al.driver.label_time import scores_per_second
from ray_al.driver.pool import read_table
from ray_al.scoring.class_stats import final_parts, pool_stats, predicted_shares
from ray_al.scoring.features import groups_of
from ray_al.select.candidates import Candidates
from ray_al.select.components import balanced
from ray_al.select.fill import ONE_MORE, Allows
from ray_al.select.merge import merge_topk

NAMES = ["image_index", "region"]


class ScoredCycle:
    """The pool as it was scored in `cycle`, for batch rules.

    It implements `ScoredPool` (ray_al/select/rules.py).
    """

    def __init__(self, context: Context, cycle: int) -> None:
        self.context, self.cycle = context, cycle

    @property
    def moment(self) -> Moment:
        """Return when the query is chosen."""
        context = self.context
        cycles = num_queries(
            context.config.budget, context.state.created.sizes, context.state.amount
        )
        return Moment(seed=context.config.seed, cycle=self.cycle, num_cycles=cycles)

    @property
    def typical_cost(self) -> int:
        """Return the maximum cost of a region of mean size."""
        return typical_cost(self.context)

    @cached_property
    def predicted_shares(self) -> np.ndarray:
        """Return the fraction of the pool predicted as each class, (classes,)."""
        refs, storage = _score_refs(self.context, self.cycle), self.context.storage
        schemas = (read_table(storage, ref, NAMES).schema for ref in refs)
        return predicted_shares(schemas, self.context.dataset.num_classes)

    def parts(self) -> Iterator[pa.Table]:
        """Yield the final scores, one table per shard."""
        return scored_parts(self.context, self.cycle)

    def candidates(self) -> Candidates:
        """Return the best regions, with their features if they were computed.

        Raises:
            RayALError: a feature or probability is not a number.
        """
        context, cycle = self.context, self.cycle
        best = candidates_of(context, cycle)
        best = best.sort_by([("image_id", "ascending"), ("region", "ascending")]).combine_chunks()
        by_class = _matrix(best, "class_scores") if "class_scores" in best.column_names else None
        empty = np.zeros((len(best), 0), dtype=np.float32)
        candidates = Candidates.of(
            table=best.select(SCORE_SCHEMA.names),
            keys=best.column("score").to_numpy().astype(np.float64),
            features=empty,
            probabilities=empty,
            labelled=empty[:0],
            class_scores=by_class,
        )
        if cycle not in context.state.extracted or not len(best):
            return candidates
        return _described(context, cycle, candidates)


def _described(context: Context, cycle: int, candidates: Candidates) -> Candidates:
    """Add the features of the candidates and of the labelled regions."""
    parts = _read_features(context, cycle)
    known, groups = pa.concat_tables(parts), groups_of(parts[0].schema)
    numbers = context.pool.numbers(known)
    order = np.argsort(numbers, kind="stable")
    places = order[np.searchsorted(numbers[order], context.pool.numbers(candidates.table))]
    features, probabilities = _matrix(known, "feature"), _matrix(known, "probability")
    wrong = sum(int((~np.isfinite(values)).any(1).sum()) for values in (features, probabilities))
    if wrong:
        raise RayALError(
            f"features of {wrong} regions are not finite; the model of cycle {cycle} diverged, "
            "lower train.learning_rate"
        )
    if groups:
        features = balanced(features, groups)
    return replace(
        candidates,
        features=features[places],
        probabilities=probabilities[places],
        labelled=features[is_among(numbers, context.pool.labelled_numbers)],
        groups=groups,
    )


def _read_features(
    context: Context, cycle: int, columns: list[str] | None = None
) -> list[pa.Table]:
    refs = [ref for _, ref in sorted(context.state.features[cycle].items()) if ref is not None]
    return [read_table(context.storage, ref, columns) for ref in refs]


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(table), -1) if len(table) else flat.reshape(0, 0)


def candidates_of(context: Context, cycle: int) -> pa.Table:
    """Return the candidates: the regions with the highest scores, among which the rule chooses.

    Each costs at most what is left of the whole budget. There are as many as the batch rule looks
    at, or as a query can hold if that is more. Once features are computed, the regions that have
    them are the candidates of all further queries of the cycle.
    """
    if cycle in context.state.extracted:
        known = map(context.pool.numbers, _read_features(context, cycle, NAMES))
        described = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *known]))
        numbers = context.pool.numbers
        return rank_scores(
            context, cycle, len(described), lambda part: is_among(numbers(part), described)
        )
    most = amount_to_reserve(context, cycle) // max(1, typical_cost(context))
    looked_at = context.config.strategy_at(cycle).batch.num_candidates(most + ONE_MORE)
    k = most if looked_at is None else max(looked_at, most)
    left = context.state.remaining
    return rank_scores(context, cycle, k, lambda part: upper_bounds(context, part) <= left)


def rank_scores(context: Context, cycle: int, k: int, allows: Allows) -> pa.Table:
    """Return the `k` regions with the highest scores among those that `allows` lets through.

    They do not depend on the batch rule. The rows are SCORE_SCHEMA, best first, with `class_scores`
    if the batch rule reads them.
    """
    allowed = (part.filter(pa.array(allows(part))) for part in scored_parts(context, cycle))
    parts = (part.append_column("key", part.column("score").cast(pa.float64())) for part in allowed)
    batch = context.config.strategy_at(cycle).batch
    classes = ("class_scores",) if batch.reads_class_scores else ()
    return merge_topk(parts, k, columns=classes).drop_columns(["key"])


def scored_parts(context: Context, cycle: int) -> Iterator[pa.Table]:
    """Yield the final scores, one table per shard.

    Scores that depend on the classes of the whole pool, or on the time of labels, are completed
    here.

    Raises:
        RayALError: a score is not a number.
    """
    strategy = context.config.strategy_at(cycle)
    parts = _weighed_parts(context, cycle, open_acquisition(strategy))
    if strategy.label_time is None:
        return parts
    return scores_per_second(context, cycle, parts, strategy.label_time)


def _weighed_parts(context: Context, cycle: int, function: Acquisition) -> Iterator[pa.Table]:
    read = [partial(_read_part, context, ref, cycle) for ref in _score_refs(context, cycle)]
    if function.attribution == "none":
        return (read_part() for read_part in read)
    iou = _val_iou(context, cycle)
    stats = pool_stats(read, function, context.dataset.num_classes, iou)
    return final_parts(read, function, stats)


def _score_refs(context: Context, cycle: int) -> list[FileRef]:
    return [
        ref for _, ref in sorted(context.state.scores.get(cycle, {}).items()) if ref is not None
    ]


def _read_part(context: Context, ref: FileRef, cycle: int) -> pa.Table:
    """Read the scores of regions that may still be queried."""
    part = context.read_scores(ref)
    is_out = context.pool.is_out[part.column("image_index").to_numpy()]
    part = part.filter(pa.array(~context.pool.is_chosen(part) & ~is_out))
    missing = int(np.isnan(part.column("score").to_numpy()).sum())
    if missing:
        raise RayALError(
            f"{missing} scores are not numbers; the model of cycle {cycle} diverged, "
            "lower train.learning_rate"
        )
    return part


def _val_iou(context: Context, cycle: int) -> np.ndarray:
    known = context.state.trained.get(cycle)
    metrics = known.metrics.get("val") if known else None
    values = [*metrics.iou] if metrics else []
    values += [None] * (context.dataset.num_classes - len(values))  # also of classes added since
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

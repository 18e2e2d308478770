"""The query of a cycle: from stored scores (and features) to regions that the budget can pay."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.arrays import is_among
from ray_al.core.errors import RayALError
from ray_al.core.strategy import BatchConfig, StrategyConfig
from ray_al.core.types import SCORE_SCHEMA, SEED_CYCLE, START_CYCLE, FileRef, cycle_folder
from ray_al.driver import decide as actions
from ray_al.driver.budget import num_queries, query_size
from ray_al.driver.context import Context, Done
from ray_al.driver.pool import read_table, table_bytes
from ray_al.driver.quarantine import quarantine_broken, unchanged_since_stored
from ray_al.label.truth import is_void as is_void_in
from ray_al.score.class_stats import final_parts, pool_stats, predicted_shares
from ray_al.score.features import groups_of
from ray_al.score.functions import find_acquisition
from ray_al.select import BATCH_RULES, rank
from ray_al.select.basket import Basket, Skip
from ray_al.select.candidates import Candidates
from ray_al.select.components import balanced
from ray_al.select.fill import ONE_MORE, Allows, Order, fill_from_candidates, fill_in_order
from ray_al.select.noise import gumbel_rows
from ray_al.select.schedule import beta_at
from ray_al.select.start import equal_per_image, random_start
from ray_al.select.stratified import take_turns
from ray_al.select.topk import merge_topk

NAMES = ["image_index", "region"]


def select(context: Context, action: actions.Select) -> Done:
    """Choose the query, write it, and reserve what it costs at most."""
    start, cycle = time.monotonic(), action.cycle
    context.note("select", 0, 1)
    amount, remaining = query_amount(context, cycle), context.state.remaining
    query = choose_query(context, cycle, amount)
    earlier = sum(one.cycle == cycle for one in context.state.queries)
    if len(query) == 0 and not earlier and amount < remaining:
        # A cycle's share may be less than a region costs, while what remains of the budget pays for one.
        query = choose_query(context, cycle, remaining, limit=1)
    if len(query) == 0:
        return _no_query(context, cycle, earlier)
    name = {START_CYCLE: "cycles/0000/start", SEED_CYCLE: f"{cycle_folder(SEED_CYCLE)}/start"}.get(cycle, f"{cycle_folder(cycle)}/query")
    name += f"-{earlier + 1}.parquet" if earlier else ".parquet"
    ref = context.storage.put(name, table_bytes(query), attempt=context.state.term)
    context.pool.choose(query)
    return "query_selected", {
        "cycle": cycle,
        "query": ref.as_dict(),
        "num_regions": len(query),
        "num_pixels": sum(query.column("num_pixels").to_pylist()),
        "cost": sum(query.column("cost").to_pylist()),
        "seconds": time.monotonic() - start,
    }


def _no_query(context: Context, cycle: int, earlier: int) -> Done:
    """Nothing fits: the cycle has had its queries, or is the last one; its labels may still have to be measured."""
    if earlier or actions.budget_to_measure(replace(context.state, filled=cycle), context.config, cycle) is not None:
        return "cycle_filled", {"cycle": cycle}
    return "run_finished", {"reason": actions.NOTHING_LEFT}


def query_amount(context: Context, cycle: int) -> int:
    """What the query of `cycle` may reserve, in the budget's unit.

    Where costs show late, an upper bound is reserved and mostly refunded. So that a cycle spends about what is planned, more is reserved, by what
    the labels so far cost of what was reserved for them; never more than is left of the whole budget.
    """
    budget, state = context.config.budget, context.state
    if not budget.unit.shows_late:
        return query_size(budget, state.created, cycle, state.remaining)
    aim = actions.clicks_aim(state, context.config, cycle)
    reserved, received = (sum(getattr(query, name) for query in state.queries) for name in ("cost", "received_cost"))
    factor = Fraction(reserved, received) if received else Fraction(1)
    return min(max(1, round((aim - state.spent) * factor)), state.remaining)


def choose_query(context: Context, cycle: int, amount: int, *, limit: int | None = None) -> pa.Table:
    """The regions of `cycle` that `amount` pays, at most `limit` of them: QUERY_SCHEMA.

    Raises:
        RayALError: a score or a feature is not a number, or the batch rule cannot take the scores.
    """
    strategy = context.config.strategy_at(cycle)
    basket = _basket(context, strategy, amount, skip=_skip(context, cycle), limit=limit)
    if cycle in context.state.scored and BATCH_RULES[strategy.batch.kind].needs == "candidates":
        _fill_from_candidates(context, cycle, strategy, basket)
    else:
        fill_in_order(basket, _order(context, cycle, strategy.batch, basket), typical_cost=_typical_cost(context))
    return basket.query()


def _order(context: Context, cycle: int, batch: BatchConfig, basket: Basket) -> Order:
    if cycle not in context.state.scored:
        return partial(_start_order, context, cycle)
    if BATCH_RULES[batch.kind].needs != "covers":
        return partial(_scored_order, context, cycle)
    shares = predicted_shares((_read_schema(context, ref) for ref in _score_refs(context, cycle)), context.dataset.num_classes)
    return lambda k, allows: take_turns(
        scored_parts(context, cycle), k=k, shares=shares, min_cover=batch.min_cover, is_taken=basket.is_taken, allows=allows
    )


def choose_best(context: Context, cycle: int, amount: int) -> pa.Table:
    """The regions with the highest scores that `amount` pays, whatever the batch rule: QUERY_SCHEMA."""

    def order(k: int, allows: Allows) -> pa.Table:
        best = rank_scores(context, cycle, k, allows)
        return best.select(SCORE_SCHEMA.names).append_column("reason", pa.array(["topk"] * len(best), pa.string()))

    basket = _basket(context, context.config.strategy_at(cycle), amount)
    fill_in_order(basket, order, typical_cost=_typical_cost(context))
    return basket.query()


def _basket(context: Context, strategy: StrategyConfig, amount: int, *, skip: Skip | None = None, limit: int | None = None) -> Basket:
    return Basket(
        amount,
        costs_of=partial(_costs, context),
        boxes_of=lambda index, regions: context.pool.regions_of(index).boxes_of(regions),
        opened=context.pool.labelled_images if context.config.budget.unit.pays_once_an_image else None,
        skip=skip,
        per_image=strategy.per_image,
        min_distance=strategy.min_distance,
        limit=limit,
    )


def _typical_cost(context: Context) -> int:
    """What a region of mean size costs at most: enough to know about how many a query can hold."""
    pool, created = context.pool, context.state.created
    if pool.is_sparse:
        size = (2 * context.config.regions.radius + 1) ** 2 if context.config.regions.kind == "windows" else 1
    else:
        size = max(1, int(created["num_pixels"]) // max(1, int(created["num_regions"])))
    return _bounds(context, [size])[0]


def _costs(context: Context, table: pa.Table) -> np.ndarray:
    """What each region costs at most, in the budget's unit, int64 (rows,); of images, what it costs if it is the image's first."""
    sizes, inverse = np.unique(table.column("num_pixels").to_numpy(), return_inverse=True)
    bounds: np.ndarray = np.array(_bounds(context, sizes.tolist()), dtype=np.int64)[inverse]
    return bounds


def _bounds(context: Context, sizes: Sequence[int]) -> list[int]:
    """What regions of these numbers of pixels cost at most."""
    unit, label = context.config.budget.unit, context.config.label
    return [unit.most(size, label, context.dataset.num_classes) for size in sizes]


def _skip(context: Context, cycle: int) -> Skip | None:
    """Regions to pass over: void ones by EquAL's filter, and those of broken images where no scorer has opened them."""
    strategy = context.config.strategy_at(cycle)
    unread = context.config.model.is_frozen or not find_acquisition(strategy.score).needs_model
    unopened = context.opens_images and unread
    is_unchanged = unchanged_since_stored(context) if unopened else None
    opened: set[int] = set()

    def is_broken(index: int, region: int) -> bool:
        if index not in opened:
            opened.add(index)
            if is_unchanged is None or not is_unchanged(index):
                quarantine_broken(context, [index])
        return bool(context.pool.broken[index])

    def is_void(index: int, region: int) -> bool:
        return is_void_in(context.truth, index, region)

    checks = [*([is_broken] if unopened else []), *([is_void] if strategy.skip_void_by_ground_truth else [])]
    return (lambda index, region: any(check(index, region) for check in checks)) if checks else None


def _start_order(context: Context, cycle: int, k: int, allows: Allows) -> pa.Table:
    """The best `k` regions of a start set that needs no scores."""
    config, pool = context.config, context.pool
    ranking = equal_per_image if cycle == START_CYCLE and config.budget.start_rule == "equal_per_image" else random_start
    return ranking(pool.manifest, pool.kind, k=k, seed=config.seed, cycle=cycle, remaining=~pool.chosen, allows=allows)


def _scored_order(context: Context, cycle: int, k: int, allows: Allows) -> pa.Table:
    """The best `k` regions by a rule on scores."""
    batch = context.config.strategy_at(cycle).batch
    return rank(
        scored_parts(context, cycle),
        k=k,
        batch=batch.model_copy(update={"beta": beta_at(batch.beta, batch.schedule, max(cycle, 0), _num_queries(context))}),
        seed=context.config.seed,
        cycle=cycle,
        num_candidates=batch.candidates,
        allows=allows,
    )


def _fill_from_candidates(context: Context, cycle: int, strategy: StrategyConfig, basket: Basket) -> None:
    batch = strategy.batch
    options: dict[str, Any] = {name: getattr(batch, name) for name in BATCH_RULES[batch.kind].settings}
    table = candidates_of(context, cycle).sort_by([("image_id", "ascending"), ("region", "ascending")]).combine_chunks()
    if not len(table):
        return
    keys = table.column("score").to_numpy().astype(np.float64)
    if batch.kind == "class_split":
        noise = _noise(context, cycle, batch, table)
        keys = keys * noise
        options = {"class_scores": _matrix(table, "class_scores") * noise[:, None], "share": batch.share_by_class}
    candidates = _candidates(context, cycle, table.select(SCORE_SCHEMA.names), keys)
    fill_from_candidates(basket, candidates, kind=batch.kind, seed=context.config.seed, cycle=cycle, **options)


def _noise(context: Context, cycle: int, batch: BatchConfig, table: pa.Table) -> np.ndarray:
    """exp(Gumbel(0, 1/beta)) a region: the order of score * noise is that of power sampling, and zero stays zero."""
    beta = beta_at(batch.beta, batch.schedule, max(cycle, 0), _num_queries(context))
    drawn = gumbel_rows(table, "class_split", context.config.seed, cycle)
    noise: np.ndarray = np.exp(drawn / beta)
    return noise


def _read_features(context: Context, cycle: int, columns: list[str] | None = None) -> list[pa.Table]:
    refs = [ref for _, ref in sorted(context.state.features[cycle].items()) if ref is not None]
    return [read_table(context.storage, ref, columns) for ref in refs]


def _candidates(context: Context, cycle: int, table: pa.Table, keys: np.ndarray) -> Candidates:
    """The candidates with the features that the feature pass gave them.

    Raises:
        RayALError: a feature or probability is not a number.
    """
    empty = np.zeros((len(table), 0), dtype=np.float32)
    if cycle not in context.state.extracted:
        return Candidates.of(table=table, keys=keys, features=empty, probabilities=empty, labelled=empty[:0])
    parts = _read_features(context, cycle)
    known, groups = pa.concat_tables(parts), groups_of(parts[0].schema)
    numbers = context.pool.numbers(known)
    order = np.argsort(numbers, kind="stable")
    places = order[np.searchsorted(numbers[order], context.pool.numbers(table))]
    features, probabilities = _matrix(known, "feature"), _matrix(known, "probability")
    wrong = int((~np.isfinite(features)).any(1).sum() + (~np.isfinite(probabilities)).any(1).sum())
    if wrong:
        raise RayALError(f"features of {wrong} regions are not finite; the model of cycle {cycle} diverged, lower train.learning_rate")
    if groups:
        features = balanced(features, groups)
    labelled = features[is_among(numbers, context.pool.labelled_numbers)]
    return Candidates.of(table=table, keys=keys, features=features[places], probabilities=probabilities[places], labelled=labelled, groups=groups)


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return values


def candidates_of(context: Context, cycle: int) -> pa.Table:
    """The regions among which a rule chooses: the highest scores that what remains of the budget pays, each for itself.

    There are as many as the batch rule looks at, or as a query can hold where those are more. Once features are computed, those
    that they describe are the candidates, in every query of the cycle.
    """
    if cycle in context.state.extracted:
        described = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *map(context.pool.numbers, _read_features(context, cycle, NAMES))]))
        return rank_scores(context, cycle, len(described), lambda part: is_among(context.pool.numbers(part), described))
    most = query_amount(context, cycle) // max(1, _typical_cost(context))
    k = max(context.config.strategy_at(cycle).batch.num_candidates(most + ONE_MORE), most)
    return rank_scores(context, cycle, k, lambda part: _costs(context, part) <= context.state.remaining)


def rank_scores(context: Context, cycle: int, k: int, allows: Allows) -> pa.Table:
    """The `k` regions with the highest scores of those that `allows` lets through, whatever the batch rule."""
    allowed = (part.filter(pa.array(allows(part))) for part in scored_parts(context, cycle))
    parts = (part.append_column("key", part.column("score").cast(pa.float64())) for part in allowed)
    classes = ("class_scores",) if context.config.strategy_at(cycle).batch.kind == "class_split" else ()
    return merge_topk(parts, k, columns=classes).drop_columns(["key"])


def scored_parts(context: Context, cycle: int) -> Iterator[pa.Table]:
    """Score parts with the final scores: functions that look at the classes of the whole pool are finished here.

    Raises:
        RayALError: a score is not a number.
    """
    strategy = context.config.strategy_at(cycle)
    function = find_acquisition(strategy.score)
    read = [lambda ref=ref: _read_part(context, ref, cycle) for ref in _score_refs(context, cycle)]
    if function.attribution == "none":
        return (one() for one in read)
    iou = _val_iou(context, cycle)
    return final_parts(read, function, strategy, pool_stats(read, function, context.dataset.num_classes, iou))


def _score_refs(context: Context, cycle: int) -> list[FileRef]:
    return [ref for _, ref in sorted(context.state.scores.get(cycle, {}).items()) if ref is not None]


def _read_schema(context: Context, ref: FileRef) -> pa.Schema:
    return read_table(context.storage, ref, NAMES).schema


def _read_part(context: Context, ref: FileRef, cycle: int) -> pa.Table:
    part = context.read_scores(ref)
    part = part.filter(pa.array(~context.pool.is_chosen(part) & ~context.pool.broken[part.column("image_index").to_numpy()]))
    missing = int(np.isnan(part.column("score").to_numpy()).sum())
    if missing:
        raise RayALError(f"{missing} scores are not numbers; the model of cycle {cycle} diverged, lower train.learning_rate")
    return part


def _val_iou(context: Context, cycle: int) -> np.ndarray:
    metrics = context.state.trained.get(cycle, {}).get("metrics", {}).get("val")
    values = metrics["iou"] if metrics else [None] * context.dataset.num_classes
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _num_queries(context: Context) -> int:
    return num_queries(context.config.budget, context.state.created, context.state.amount)

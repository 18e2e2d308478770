"""The query of a cycle: from stored scores (and features) to regions that the budget can pay."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.errors import RayALError
from ray_al.core.seeding import seed_of
from ray_al.core.strategy import BatchConfig, StrategyConfig
from ray_al.core.types import SCORE_SCHEMA, SEED_CYCLE, START_CYCLE, FileRef, cycle_folder
from ray_al.driver import decide as actions
from ray_al.driver.budget import query_size, smallest_region
from ray_al.driver.context import Context, Done
from ray_al.driver.pool import read_table, table_bytes
from ray_al.driver.quarantine import quarantine_broken
from ray_al.label import simulated
from ray_al.label.cost import COSTS, Asked
from ray_al.score.class_stats import final_parts, pool_stats
from ray_al.score.functions import find_acquisition
from ray_al.select import BATCH_RULES, choose, rank
from ray_al.select.budget import take_within
from ray_al.select.candidates import Candidates
from ray_al.select.noise import gumbel_rows
from ray_al.select.schedule import beta_at
from ray_al.select.start import equal_per_image, random_start
from ray_al.select.topk import merge_topk

Row = Mapping[str, Any]


def select(context: Context, action: actions.Select) -> Done:
    """Choose the query, write it, and reserve what it costs at most."""
    start, cycle = time.monotonic(), action.cycle
    context.note("select", 0, 1)
    query = choose_query(context, cycle, query_amount(context, cycle))
    earlier = sum(one.cycle == cycle for one in context.state.queries)
    if len(query) == 0:
        return ("cycle_filled", {"cycle": cycle}) if earlier else ("run_finished", {"reason": "nothing left that fits the budget"})
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


def query_amount(context: Context, cycle: int) -> int:
    """What the query of `cycle` may reserve, in the budget's unit.

    Clicks are reserved as an upper bound and mostly refunded. So that a cycle spends about what is planned, more is reserved, by what
    the labels so far cost of what was reserved for them; never more than is left of the whole budget.
    """
    budget, state = context.config.budget, context.state
    if budget.unit != "clicks":
        return query_size(budget, state.created, cycle, state.remaining)
    planned = actions.planned_clicks(state, context.config, cycle)
    reserved, received = (sum(getattr(query, name) for query in state.queries) for name in ("cost", "received_cost"))
    factor = reserved / received if received else 1.0
    return min(max(1, round((planned - state.spent) * factor)), state.remaining)


def choose_query(context: Context, cycle: int, amount: int) -> pa.Table:
    """The regions of `cycle` that `amount` pays: QUERY_SCHEMA.

    Raises:
        RayALError: a score or a feature is not a number, or the batch rule cannot take the scores.
    """
    return _choose_within(context, cycle, amount, lambda k: _ranked(context, cycle, k), _skip(context, cycle))


def choose_best(context: Context, cycle: int, amount: int) -> pa.Table:
    """The regions with the highest scores that `amount` pays, whatever the batch rule: QUERY_SCHEMA."""

    def ranked(k: int) -> pa.Table:
        best = rank_scores(context, cycle, k)
        return best.select(SCORE_SCHEMA.names).append_column("reason", pa.array(["topk"] * len(best), pa.string()))

    return _choose_within(context, cycle, amount, ranked, None)


def _choose_within(context: Context, cycle: int, amount: int, ranking: Callable[[int], pa.Table], skip: Callable[[Row], bool] | None) -> pa.Table:
    """Rank more and more candidates until the amount is spent: filters and costs that differ from region to region drop some."""
    strategy, num_left = context.config.strategy_at(cycle), context.pool.num_left
    k = min(num_left, amount // max(1, _smallest_cost(context)) + 1)
    while True:
        ranked = ranking(k)
        query = take_within(
            ranked,
            amount=amount,
            costs=_costs(context, ranked),
            opened=set(np.flatnonzero(context.pool.labelled_images).tolist()) if context.config.budget.unit == "images" else None,
            skip=skip,
            per_image=strategy.per_image,
            min_distance=strategy.min_distance,
            centre_of=lambda index, region: _centre(context, index, region),
        )
        if k >= num_left or len(ranked) < k or sum(query.column("cost").to_pylist()) >= amount:
            return query
        k = min(num_left, 4 * k)


def _smallest_cost(context: Context) -> int:
    """What a region costs at least, to know how many a query can hold."""
    if context.config.budget.unit != "pixels":
        return 1
    return smallest_region(context.config, context.pool.manifest) or 1


def _costs(context: Context, ranked: pa.Table) -> np.ndarray:
    """What each region costs at most, in the budget's unit, int64 (rows,); of images, what it costs if it is the image's first."""
    config, cost = context.config, COSTS[context.config.budget.unit]
    sizes, inverse = np.unique(ranked.column("num_pixels").to_numpy(), return_inverse=True)
    asked = [
        Asked(
            kind=config.label.kind,
            num_pixels=size,
            num_classes=context.dataset.num_classes,
            cap=config.label.max_clicks,
            image_index=0,
            opened=frozenset(),
        )
        for size in sizes.tolist()
    ]
    bounds: np.ndarray = np.array([cost.upper_bound(one) for one in asked], dtype=np.int64)[inverse]
    return bounds


def _centre(context: Context, index: int, region: int) -> tuple[float, float]:
    box = context.pool.regions_of(index).box(region)
    return (box.top + box.bottom) / 2, (box.left + box.right) / 2


def _skip(context: Context, cycle: int) -> Callable[[Row], bool] | None:
    """Regions to pass over: void ones by EquAL's filter, and those of broken images where no scorer has opened them yet."""
    strategy = context.config.strategy_at(cycle)
    unopened = context.opens_images and not find_acquisition(strategy.score).needs_model
    opened: set[int] = set()

    def is_broken(row: Row) -> bool:
        index = row["image_index"]
        if index not in opened:
            opened.add(index)
            quarantine_broken(context, [index])
        return bool(context.pool.broken[index])

    def is_void(row: Row) -> bool:
        return simulated.is_void(context.truth, row["image_index"], row["region"])

    checks = [*([is_broken] if unopened else []), *([is_void] if strategy.skip_void_by_ground_truth else [])]
    return (lambda row: any(check(row) for check in checks)) if checks else None


def _ranked(context: Context, cycle: int, k: int) -> pa.Table:
    """The best `k` regions in the order in which they are taken, with `reason`."""
    config, strategy = context.config, context.config.strategy_at(cycle)
    if cycle not in context.state.scored:
        ranking = equal_per_image if cycle == START_CYCLE and config.budget.start_rule == "equal_per_image" else random_start
        pool = context.pool
        # A seed set has draws of its own; a number added to the seed would give it those of another run's start set.
        seed = config.seed if cycle == START_CYCLE else seed_of(config.seed, "seed set")
        return ranking(pool.manifest, pool.kind, k=k, seed=seed, remaining=~pool.chosen)
    if BATCH_RULES[strategy.batch.kind].needs == "candidates":
        return _from_candidates(context, cycle, strategy, k)
    batch = strategy.batch
    return rank(
        scored_parts(context, cycle),
        k=k,
        batch=batch.model_copy(update={"beta": beta_at(batch.beta, batch.schedule, max(cycle, 0), _num_cycles(context))}),
        seed=config.seed,
        cycle=cycle,
        num_regions_of=lambda index: int(context.pool.spans[index]),
        num_candidates=batch.candidates,
    )


def _from_candidates(context: Context, cycle: int, strategy: StrategyConfig, k: int) -> pa.Table:
    batch = strategy.batch
    table = candidates_of(context, cycle).sort_by([("image_id", "ascending"), ("region", "ascending")]).combine_chunks()
    if cycle in context.state.extracted:
        table = _with_features(context, cycle, table)
    if not len(table):
        return table.select(SCORE_SCHEMA.names).append_column("reason", pa.array([], pa.string()))
    keys, options = table.column("score").to_numpy().astype(np.float64), {}
    if batch.kind == "class_split":
        noise = _noise(context, cycle, batch, table)
        keys = keys * noise
        options = {"class_scores": _matrix(table, "class_scores") * noise[:, None], "share": batch.share_by_class}
    table = table.select(SCORE_SCHEMA.names)
    chosen = choose(_candidates(context, cycle, table, keys), kind=batch.kind, k=k, seed=context.config.seed, cycle=cycle, **options)
    return chosen.drop_columns(["key"])


def _noise(context: Context, cycle: int, batch: BatchConfig, table: pa.Table) -> np.ndarray:
    """exp(Gumbel(0, 1/beta)) a region: the order of score * noise is that of power sampling, and zero stays zero."""
    beta = beta_at(batch.beta, batch.schedule, max(cycle, 0), _num_cycles(context))
    drawn = gumbel_rows(table, "class_split", context.config.seed, cycle, lambda index: int(context.pool.spans[index]))
    noise: np.ndarray = np.exp(drawn / beta)
    return noise


def _read_features(context: Context, cycle: int, columns: list[str] | None = None) -> list[pa.Table]:
    refs = [ref for _, ref in sorted(context.state.features[cycle].items()) if ref is not None]
    return [read_table(context.storage, ref, columns) for ref in refs]


def _with_features(context: Context, cycle: int, table: pa.Table) -> pa.Table:
    """The rows that the feature pass described: later queries of a cycle, and images found broken on the way, let others move up."""
    parts = _read_features(context, cycle, ["image_index", "region"])
    known = np.concatenate([np.zeros(0, dtype=np.int64), *(context.pool.numbers(part) for part in parts)])
    return table.filter(pa.array(np.isin(context.pool.numbers(table), known))).combine_chunks()


def _candidates(context: Context, cycle: int, table: pa.Table, keys: np.ndarray) -> Candidates:
    """The candidates with the features that the feature pass gave them.

    Raises:
        RayALError: a feature or probability is not a number.
    """
    empty = np.zeros((len(table), 0), dtype=np.float32)
    if cycle not in context.state.extracted:
        return Candidates.of(table=table, keys=keys, features=empty, probabilities=empty, labelled=empty[:0])
    known = pa.concat_tables(_read_features(context, cycle))
    numbers = context.pool.numbers(known)
    order = np.argsort(numbers, kind="stable")
    places = order[np.searchsorted(numbers[order], context.pool.numbers(table))]
    features, probabilities = _matrix(known, "feature"), _matrix(known, "probability")
    wrong = int((~np.isfinite(features)).any(1).sum() + (~np.isfinite(probabilities)).any(1).sum())
    if wrong:
        raise RayALError(f"features of {wrong} regions are not finite; the model of cycle {cycle} diverged, lower train.learning_rate")
    labelled = features[np.setdiff1d(np.arange(len(known)), places)]
    return Candidates.of(table=table, keys=keys, features=features[places], probabilities=probabilities[places], labelled=labelled)


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return values


def candidates_of(context: Context, cycle: int) -> pa.Table:
    """The regions with the highest scores, as many as `strategy.batch.candidates`, or as a query can hold where those are more."""
    most = query_amount(context, cycle) // _smallest_cost(context)
    ranked = rank_scores(context, cycle, max(context.config.strategy_at(cycle).batch.candidates, most))
    broken = context.pool.broken[ranked.column("image_index").to_numpy()]
    return ranked.filter(pa.array(~broken))


def rank_scores(context: Context, cycle: int, k: int) -> pa.Table:
    """The `k` regions with the highest scores, whatever the batch rule."""
    parts = (part.append_column("key", part.column("score").cast(pa.float64())) for part in scored_parts(context, cycle))
    classes = ("class_scores",) if context.config.strategy_at(cycle).batch.kind == "class_split" else ()
    return merge_topk(parts, k, columns=classes).drop_columns(["key"])


def scored_parts(context: Context, cycle: int) -> Iterator[pa.Table]:
    """Score parts with the final scores: functions that look at the classes of the whole pool are finished here.

    Raises:
        RayALError: a score is not a number.
    """
    strategy, state = context.config.strategy_at(cycle), context.state
    refs = [ref for _, ref in sorted(state.scores.get(cycle, {}).items()) if ref is not None]
    function = find_acquisition(strategy.score)
    read = [lambda ref=ref: _read_part(context, ref, cycle) for ref in refs]
    if function.attribution == "none":
        return (one() for one in read)
    iou = _val_iou(context, cycle)
    return final_parts(read, function, strategy, pool_stats(read, function, context.dataset.num_classes, iou))


def _read_part(context: Context, ref: FileRef, cycle: int) -> pa.Table:
    part = context.read_scores(ref)
    part = part.filter(pa.array(~context.pool.is_chosen(part)))
    missing = int(np.isnan(part.column("score").to_numpy()).sum())
    if missing:
        raise RayALError(f"{missing} scores are not numbers; the model of cycle {cycle} diverged, lower train.learning_rate")
    return part


def _val_iou(context: Context, cycle: int) -> np.ndarray:
    metrics = context.state.trained.get(cycle, {}).get("metrics", {}).get("val")
    values = metrics["iou"] if metrics else [None] * context.dataset.num_classes
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _num_cycles(context: Context) -> int:
    """How many queries the budget holds beside the start set; for schedules."""
    state = context.state
    step = query_size(context.config.budget, state.created, 0, state.amount)
    start = query_size(context.config.budget, state.created, START_CYCLE, state.amount)
    return max(1, -(-(state.amount - start) // step))

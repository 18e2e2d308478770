"""From a ranking to a query that the budget can pay."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import uniform_of
from ray_al.core.types import QUERY_SCHEMA, SCORE_SCHEMA
from ray_al.select.topk import merge_topk


def take_within(ranked: pa.Table, *, amount: int, unit: str, skip: Callable[[dict[str, Any]], bool] | None = None) -> pa.Table:
    """Walk the ranking and take each region that still fits.

    Args:
        ranked: SCORE_SCHEMA with `reason`, best first.
        amount: what the query may cost, in `unit` (regions or pixels).
        skip: regions to pass over.

    Returns:
        QUERY_SCHEMA; `rank` counts from 0.
    """
    rows: list[dict[str, Any]] = []
    left = amount
    for row in ranked.to_pylist():
        cost = 1 if unit == "regions" else row["num_pixels"]
        if left <= 0:
            break
        if cost > left or (skip is not None and skip(row)):
            continue
        left -= cost
        rows.append({**row, "rank": len(rows), "cost": cost})
    return pa.Table.from_pylist(rows, schema=QUERY_SCHEMA)


def random_start(manifest: pa.Table, regions: Any, *, k: int, seed: int, remaining: np.ndarray) -> pa.Table:
    """A random ranking of `k` regions of the pool, drawn from the seed and the regions' names: the same for every strategy."""
    parts, offset = [], 0
    for row in manifest.select(["image_index", "image_id", "height", "width", "num_regions"]).to_pylist():
        count = row["num_regions"]
        rest = np.flatnonzero(remaining[offset : offset + count])
        offset += count
        if len(rest):
            scores = uniform_of(seed, -1, row["image_id"], count)[rest]
            columns = [
                np.full(len(rest), row["image_index"]), [row["image_id"]] * len(rest), rest, scores,
                regions.num_pixels(row["height"], row["width"])[rest],
            ]  # fmt: skip
            table = pa.table([pa.array(column, field.type) for column, field in zip(columns, SCORE_SCHEMA, strict=True)], schema=SCORE_SCHEMA)
            parts.append(table.append_column("key", pa.array(scores, pa.float64())))
    ranked = merge_topk((pa.concat_tables(parts[i : i + 1024]) for i in range(0, len(parts), 1024)), k)
    return ranked.append_column("reason", pa.array(["random start"] * len(ranked), pa.string()))

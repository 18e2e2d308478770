"""Find the top k rows; the result does not depend on how rows are split into parts."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from ray_al.core.types import SCORE_SCHEMA

KEY_SCHEMA = SCORE_SCHEMA.append(pa.field("key", pa.float64()))
SPARE_ROWS = 1 << 18
"""Rows kept beyond 2 k before they are sorted; sorting after every part would cost parts x k."""


def merge_topk(parts: Iterable[pa.Table], k: int, *, columns: Sequence[str] = ()) -> pa.Table:
    """Return the `k` rows with the highest `key`, in order; ties by image_id, then region.

    Args:
        parts: KEY_SCHEMA with `columns`.
        columns: further columns to keep.
    """
    pending: list[pa.Table] = []
    num_rows, floor = 0, -np.inf
    for part in parts:
        keys = part.column("key").to_numpy()
        kept = part.select([*KEY_SCHEMA.names, *columns]).filter(pa.array(keys >= floor))
        pending.append(kept)
        num_rows += len(kept)
        if num_rows > 2 * k + SPARE_ROWS:
            best = _top(pa.concat_tables(pending), k)
            pending, num_rows = [best], len(best)
            floor = best.column("key")[-1].as_py() if k else np.inf
    return _top(pa.concat_tables(pending), k) if pending else KEY_SCHEMA.empty_table()


def _top(table: pa.Table, k: int) -> pa.Table:
    keys = table.column("key").to_numpy()
    if 0 < k < len(keys):
        threshold = -np.partition(-keys, k - 1)[k - 1]
        table = table.filter(pa.array(keys >= threshold))
    order = [("key", "descending"), ("image_id", "ascending"), ("region", "ascending")]
    return table.sort_by(order).slice(0, k).combine_chunks()

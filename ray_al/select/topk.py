"""Associative, deterministic top-k: the same for any split into parts."""

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from ray_al.core.types import SCORE_SCHEMA


def score_keys(part: pa.Table, beta: float, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> np.ndarray:
    """The scores themselves, float64 (rows,)."""
    keys: np.ndarray = part.column("score").to_numpy().astype(np.float64)
    return keys


def merge_topk(parts: Iterable[pa.Table], k: int) -> pa.Table:
    """The `k` rows with the highest `key`, in order; ties by image_id, then region, ascending."""
    best: pa.Table = SCORE_SCHEMA.append(pa.field("key", pa.float64())).empty_table()
    for part in parts:
        best = _top(pa.concat_tables([best, _top(part, k)]), k)
    return best


def _top(table: pa.Table, k: int) -> pa.Table:
    keys = table.column("key").to_numpy()
    if 0 < k < len(keys):
        threshold = -np.partition(-keys, k - 1)[k - 1]
        table = table.filter(pa.array(keys >= threshold))
    order = [("key", "descending"), ("image_id", "ascending"), ("region", "ascending")]
    return table.sort_by(order).slice(0, k).combine_chunks()

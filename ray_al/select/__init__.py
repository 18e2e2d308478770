"""From scores to a query. One table lists the batch rules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ray_al.core.config import BatchConfig
from ray_al.core.errors import RayALError
from ray_al.select.power import power_keys
from ray_al.select.topk import merge_topk, score_keys

Keys = Callable[[pa.Table, float, int, int, Callable[[int], int]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class BatchRule:
    """A row of the table: regions are taken in the order of their keys."""

    paper: str
    keys: Keys


BATCH_RULES: Mapping[str, BatchRule] = {
    "topk": BatchRule(paper="the highest scores, ties by region name", keys=score_keys),
    "power": BatchRule(paper="Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to score^beta", keys=power_keys),
}


def list_batch_rules() -> list[dict[str, str]]:
    """Name and source of every batch rule."""
    return [{"name": name, "paper": rule.paper} for name, rule in BATCH_RULES.items()]


def rank(parts: Iterable[pa.Table], *, k: int, batch: BatchConfig, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> pa.Table:
    """The best `k` regions of all parts in order; memory O(k + a part).

    Returns:
        SCORE_SCHEMA with `key` and `reason`.

    Raises:
        RayALError: a score is not a number.
    """
    rule = BATCH_RULES[batch.kind]

    def with_keys() -> Iterable[pa.Table]:
        for part in parts:
            scores = part.column("score").to_numpy()
            if np.isnan(scores).any():
                raise RayALError(
                    f"{int(np.isnan(scores).sum())} scores are not numbers; the model of cycle {cycle} diverged, lower train.learning_rate"
                )
            yield part.append_column("key", pa.array(rule.keys(part, batch.beta, seed, cycle, num_regions_of), pa.float64()))

    ranked = merge_topk(with_keys(), k)
    return ranked.append_column("reason", pa.array([batch.kind] * len(ranked), pa.string()))

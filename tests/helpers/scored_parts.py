"""A scored pool that is given as a list of parts, for rules that rank."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.families.batch import BATCH_RULES, Moment
from ray_al.select.rules import OrderRule


@dataclass
class Parts:
    """What `OrderRule.rank` asks for."""

    tables: list[pa.Table]
    moment: Moment
    typical_cost: int = 1
    predicted_shares: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def parts(self) -> Iterator[pa.Table]:
        """Return the parts, as the pool reads them."""
        return iter(self.tables)


def ranked(
    tables: list[pa.Table], k: int, *, seed: int = 1, cycle: int = 2, **batch: Any
) -> pa.Table:
    """The first k regions by the batch rule with these settings."""
    rule = BATCH_RULES.parse(batch)
    assert isinstance(rule, OrderRule)
    pool: Any = Parts(tables, Moment(seed=seed, cycle=cycle))
    return rule.rank(pool, k=k)


def names(table: pa.Table) -> list[tuple[str, int]]:
    """Return image and region of each row."""
    return list(zip(table["image_id"].to_pylist(), table["region"].to_pylist(), strict=True))

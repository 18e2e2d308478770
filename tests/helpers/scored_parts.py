"""A scored pool that is given as a list of parts, for rules that rank."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ray_al.core.families.batch import BATCH_RULES, Moment


@dataclass
class Parts:
    """What `OrderRule.rank` asks for."""

    tables: list[pa.Table]
    moment: Moment
    typical_cost: int = 1
    predicted_shares: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def parts(self):
        return iter(self.tables)


def ranked(tables, k, *, seed=1, cycle=2, **batch):
    """The first k regions by the batch rule with these settings."""
    rule = BATCH_RULES.parse(batch)
    return rule.rank(Parts(tables, Moment(seed=seed, cycle=cycle)), k=k)


def names(table):
    return list(zip(table["image_id"].to_pylist(), table["region"].to_pylist(), strict=True))

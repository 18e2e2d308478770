"""Choose the highest scores."""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.families.batch import Moment
from ray_al.select.rules import KeyedRule


class TopKRule(KeyedRule):
    """The highest scores; ties by image_id, then region."""

    kind: Literal["topk"] = "topk"
    paper: ClassVar[str] = "the highest scores, ties by region name"

    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        """Return the scores."""
        return score_keys(part)


def score_keys(part: pa.Table) -> np.ndarray:
    """Return the scores as keys, float64 (rows,)."""
    keys: np.ndarray = part.column("score").to_numpy().astype(np.float64)
    return keys

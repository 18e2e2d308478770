"""Softmax sampling: draw without replacement in proportion to exp(beta * score).

Equals top-k of beta * score + Gumbel(0, 1); beta to infinity is top-k. Kirsch et al., "Stochastic
Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3. Not confirmed: the formula is from
memory of the paper, no public code was read.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.families.batch import Moment
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import KeyedRule
from ray_al.select.sharpness import Sharpness


def softmax_keys(part: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """Return the keys, float64 (rows,); scores may have either sign.

    The noise follows from seed, cycle, image and region.
    """
    scores = part.column("score").to_numpy().astype(np.float64)
    keys: np.ndarray = beta * scores + gumbel_rows(part, "softmax", seed, cycle)
    return keys


class SoftmaxRule(Sharpness, KeyedRule):
    """Draws in proportion to exp(beta * score)."""

    kind: Literal["softmax"] = "softmax"
    paper: ClassVar[str] = (
        "Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to exp(beta * score)"
    )

    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        """Return `softmax_keys` at the sharpness of the cycle."""
        return softmax_keys(part, self.sharpness(moment), moment.seed, moment.cycle)

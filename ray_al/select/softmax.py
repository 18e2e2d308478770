"""Softmax sampling: top-k of beta * score + Gumbel(0, 1), which draws without replacement in proportion to exp(beta * score).

Kirsch et al., "Stochastic Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3; not confirmed: the formula is from
memory of the paper, no public code was read. beta to infinity is top-k.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.families.batch import Moment
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import KeyedRule
from ray_al.select.schedule import Sharpness


def softmax_keys(part: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """float64 (rows,); noise is drawn from seed, cycle, image and region. Any score, of either sign, will do."""
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
        return softmax_keys(part, self.sharpness(moment), moment.seed, moment.cycle)

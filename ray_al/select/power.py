"""Power sampling: top-k of ln(score) + Gumbel(0, 1/beta), which draws without replacement in proportion to score^beta.

Kirsch et al., "Stochastic Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3. beta to infinity is top-k.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.errors import RayALError
from ray_al.core.families.batch import Moment, ScoreFacts
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import KeyedRule
from ray_al.select.schedule import Sharpness

ROUNDING = 1e-5
"""A score of 0 in exact arithmetic may lie so far below it."""


def power_keys(part: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """float64 (rows,); noise is drawn from seed, cycle, image and region. A score of 0 comes last.

    Raises:
        RayALError: a score is below 0, and has no power.
    """
    scores = part.column("score").to_numpy().astype(np.float64)
    if (scores < -ROUNDING).any():
        raise RayALError(
            f"strategy.batch.kind='power': {int((scores < -ROUNDING).sum())} scores are below 0, down to {scores.min():g}, and have no power; "
            "use softmax or softrank"
        )
    with np.errstate(divide="ignore"):
        keys: np.ndarray = np.log(scores.clip(0)) + gumbel_rows(part, "power", seed, cycle) / beta
    return keys


class PowerRule(Sharpness, KeyedRule):
    """Draws in proportion to score^beta."""

    kind: Literal["power"] = "power"
    paper: ClassVar[str] = (
        "Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to score^beta"
    )

    def why_not(self, score: str, function: ScoreFacts) -> str | None:
        if not function.signed:
            return None
        return f"strategy.batch.kind='power': scores of {score!r} may be below 0 and have no power; use softmax or softrank"

    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        return power_keys(part, self.sharpness(moment), moment.seed, moment.cycle)

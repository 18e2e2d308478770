"""Power sampling: draw without replacement in proportion to score^beta.

Equals top-k of ln(score) + Gumbel(0, 1/beta); beta to infinity is top-k. Kirsch et al., "Stochastic
Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.errors import RayALError
from ray_al.core.families.batch import Moment, ScoreFacts
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import KeyedRule
from ray_al.select.sharpness import Sharpness

ROUNDING = 1e-5
"""How far below 0 rounding may move a score that is 0 in exact arithmetic."""


def power_keys(part: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """Return the keys, float64 (rows,); a score of 0 comes last.

    The noise follows from seed, cycle, image and region.

    Raises:
        RayALError: a score is below 0 and has no power.
    """
    scores = part.column("score").to_numpy().astype(np.float64)
    if (scores < -ROUNDING).any():
        raise RayALError(
            f"strategy.batch.kind='power': {int((scores < -ROUNDING).sum())} scores are below 0, "
            f"down to {scores.min():g}, and have no power; use softmax or softrank"
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
        """Refuse functions whose scores may be below 0."""
        if not function.signed:
            return None
        return (
            f"strategy.batch.kind='power': scores of {score!r} may be below 0 and have no power; "
            "use softmax or softrank"
        )

    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        """Return `power_keys` at the sharpness of the cycle."""
        return power_keys(part, self.sharpness(moment), moment.seed, moment.cycle)

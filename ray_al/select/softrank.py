"""Softrank sampling: top-k of -ln(rank) + Gumbel(0, 1/beta), which draws without replacement in proportion to rank^-beta.

Kirsch et al., "Stochastic Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3. A rank needs the whole pool, a stream
of parts never has it: the rule is a second step on the M best regions of a top-k, whose ranks 1 to M are the pool's ranks.
Regions past M are never drawn; without that cut, ln(N / M) / ln(N) of the first draws would fall there at beta = 1.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.section import Count
from ray_al.select.merge import merge_topk
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import Allows, OrderRule, ScoredPool, checked, with_keys, with_reason
from ray_al.select.schedule import Sharpness
from ray_al.select.topk import score_keys


def softrank_keys(best: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """float64 (M,) for the M best regions of the pool, best first; noise is drawn from seed, cycle, image and region."""
    ranks = np.arange(1, len(best) + 1)
    keys: np.ndarray = gumbel_rows(best, "softrank", seed, cycle) / beta - np.log(ranks)
    return keys


class SoftrankRule(Sharpness, OrderRule):
    """Draws in proportion to rank^-beta. Memory is O(k + M + a part of the pool)."""

    kind: Literal["softrank"] = "softrank"
    paper: ClassVar[str] = (
        "Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to rank^-beta"
    )
    ranks_scores: ClassVar[bool] = True
    candidates: Count = 100_000
    """Number of regions with the highest scores among which the rule draws."""

    def num_candidates(self, num_regions: int) -> int:
        return self.candidates

    def rank(
        self,
        pool: ScoredPool,
        *,
        k: int,
        allows: Allows | None = None,
        is_taken: Allows | None = None,
    ) -> pa.Table:
        """As `OrderRule.rank`; regions that may not be chosen keep their ranks, and at least k are ranked."""
        moment = pool.moment
        best = merge_topk(
            (with_keys(part, score_keys(part)) for part in checked(pool)), max(k, self.candidates)
        )
        keys = softrank_keys(best, self.sharpness(moment), moment.seed, moment.cycle)
        best = with_keys(best.drop_columns(["key"]), keys)
        ranked = merge_topk([best if allows is None else best.filter(pa.array(allows(best)))], k)
        return with_reason(ranked, self.kind)

"""Softrank sampling: draw without replacement in proportion to rank^-beta.

Equals top-k of -ln(rank) + Gumbel(0, 1/beta). Kirsch et al., "Stochastic Batch Acquisition", TMLR
2023 (arXiv 2106.12059), section 3. A rank needs the whole pool, which a stream of parts never has
in memory. The rule therefore draws among the M best regions of a top-k, whose ranks 1 to M are
their ranks in the pool. Regions past M are never drawn; without that cut, a share of ln(N / M) /
ln(N) of the first draws would fall there at beta = 1.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.section import Count
from ray_al.select.merge import merge_topk
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import Allows, OrderRule, ScoredPool, checked, with_keys, with_reason
from ray_al.select.sharpness import Sharpness
from ray_al.select.topk import score_keys


def softrank_keys(best: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """Return the keys of the M best regions, given best first; float64 (M,).

    The noise follows from seed, cycle, image and region.
    """
    ranks = np.arange(1, len(best) + 1)
    keys: np.ndarray = gumbel_rows(best, "softrank", seed, cycle) / beta - np.log(ranks)
    return keys


class SoftrankRule(Sharpness, OrderRule):
    """Draws in proportion to rank^-beta. Memory is O(k + M + one part of the pool).

    It does not rank ahead: it draws among more regions where it is asked for more than M.
    """

    kind: Literal["softrank"] = "softrank"
    paper: ClassVar[str] = (
        "Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to rank^-beta"
    )
    ranks_scores: ClassVar[bool] = True
    candidates: Count = 100_000
    """Number of regions with the highest scores among which the rule draws."""

    def num_candidates(self, num_regions: int) -> int:
        """Return the setting `candidates`, whatever the size of the query."""
        return self.candidates

    def rank(
        self,
        pool: ScoredPool,
        *,
        k: int,
        allows: Allows | None = None,
        is_taken: Allows | None = None,
    ) -> pa.Table:
        """Return the first `k` regions that may be chosen; see `OrderRule.rank`.

        Regions that may not be chosen keep their ranks, and at least k regions are ranked.
        """
        moment = pool.moment
        best = merge_topk(
            (with_keys(part, score_keys(part)) for part in checked(pool)), max(k, self.candidates)
        )
        keys = softrank_keys(best, self.sharpness(moment), moment.seed, moment.cycle)
        best = with_keys(best.drop_columns(["key"]), keys)
        ranked = merge_topk([best if allows is None else best.filter(pa.array(allows(best)))], k)
        return with_reason(ranked, self.kind)

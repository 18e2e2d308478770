"""Softrank sampling: top-k of -ln(rank) + Gumbel(0, 1/beta), which draws without replacement in proportion to rank^-beta.

Kirsch et al., "Stochastic Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3. A rank needs the whole pool, a stream
of parts never has it: the rule is a second step on the M best regions of a top-k, whose ranks 1 to M are the pool's ranks.
Regions past M are never drawn; without that cut, ln(N / M) / ln(N) of the first draws would fall there at beta = 1.
"""

import numpy as np
import pyarrow as pa

from ray_al.select.noise import gumbel_rows


def softrank_keys(best: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """float64 (M,) for the M best regions of the pool, best first; noise is drawn from seed, cycle, image and region."""
    ranks = np.arange(1, len(best) + 1)
    keys: np.ndarray = gumbel_rows(best, "softrank", seed, cycle) / beta - np.log(ranks)
    return keys

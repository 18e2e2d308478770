"""Softmax sampling: top-k of beta * score + Gumbel(0, 1), which draws without replacement in proportion to exp(beta * score).

Kirsch et al., "Stochastic Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3; not confirmed: the formula is from
memory of the paper, no public code was read. beta to infinity is top-k.
"""

import numpy as np
import pyarrow as pa

from ray_al.select.noise import gumbel_rows


def softmax_keys(part: pa.Table, beta: float, seed: int, cycle: int) -> np.ndarray:
    """float64 (rows,); noise is drawn from seed, cycle, image and region. Any score, of either sign, will do."""
    scores = part.column("score").to_numpy().astype(np.float64)
    keys: np.ndarray = beta * scores + gumbel_rows(part, "softmax", seed, cycle)
    return keys

"""Power sampling: top-k of ln(score) + Gumbel(0, 1/beta), which draws without replacement in proportion to score^beta.

Kirsch et al., "Stochastic Batch Acquisition", TMLR 2023 (arXiv 2106.12059), section 3. beta to infinity is top-k.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import seed_of, uniform_of


def power_keys(part: pa.Table, beta: float, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> np.ndarray:
    """float64 (rows,); noise is drawn from seed, cycle and region name. A score of 0 comes last."""
    scores = part.column("score").to_numpy().astype(np.float64)
    salted = seed_of(seed, "power")
    uniform = np.empty(len(part))
    image_ids = part.column("image_id").to_numpy()
    indices, regions = part.column("image_index").to_numpy(), part.column("region").to_numpy()
    starts: np.ndarray | list[int] = np.flatnonzero(np.concatenate([[True], indices[1:] != indices[:-1]])) if len(part) else []
    for start, stop in zip(starts, [*starts[1:], len(part)], strict=True):
        draws = uniform_of(salted, cycle, image_ids[start], num_regions_of(int(indices[start])))
        uniform[start:stop] = draws[regions[start:stop]]
    with np.errstate(divide="ignore"):
        keys: np.ndarray = np.log(scores.clip(0)) - np.log(-np.log(uniform)) / beta
    return keys

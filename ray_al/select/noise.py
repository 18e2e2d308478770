"""Noise that belongs to a region's name: the same for any split of the pool into parts and in whatever order rows come."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import seed_of, uniform_of


def gumbel_rows(part: pa.Table, rule: str, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> np.ndarray:
    """Gumbel(0, 1) of every row, float64 (rows,), drawn from the rule's name, seed, cycle and region name."""
    noise: np.ndarray = -np.log(-np.log(uniform_rows(part, seed_of(seed, rule), cycle, num_regions_of)))
    return noise


def uniform_rows(part: pa.Table, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> np.ndarray:
    """One number in (0, 1) a row, float64 (rows,): `uniform_of` once an image, whose name is the only one that becomes a Python string."""
    uniform = np.empty(len(part))
    if len(part) == 0:
        return uniform
    indices, regions = part.column("image_index").to_numpy(), part.column("region").to_numpy()
    order = np.argsort(indices, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(indices[order]) != 0]))
    image_ids = part.column("image_id").take(pa.array(order[starts])).to_pylist()
    for image_id, start, stop in zip(image_ids, starts, [*starts[1:], len(part)], strict=True):
        rows = order[start:stop]
        uniform[rows] = uniform_of(seed, cycle, image_id, num_regions_of(int(indices[rows[0]])))[regions[rows]]
    return uniform

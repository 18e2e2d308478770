"""Draw noise that depends only on a region's name, not on its part of the pool or its row."""

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import keys_of, uniform_of


def gumbel_rows(part: pa.Table, purpose: str, seed: int, cycle: int) -> np.ndarray:
    """Return Gumbel(0, 1) noise for every row, float64 (rows,), made from `uniform_rows`."""
    noise: np.ndarray = -np.log(-np.log(uniform_rows(part, purpose, seed, cycle)))
    return noise


def uniform_rows(part: pa.Table, purpose: str, seed: int, cycle: int) -> np.ndarray:
    """Return uniform noise above 0 and below 1 for every row, float64 (rows,).

    It depends only on purpose, seed, cycle, image and region: the region's number is the position
    of its draw in the stream of the image. Only one name per image becomes a Python string.
    """
    indices = part.column("image_index").to_numpy()
    _, firsts, image_of = np.unique(indices, return_index=True, return_inverse=True)
    image_ids = part.column("image_id").take(pa.array(firsts)).to_pylist()
    keys = keys_of(purpose, seed, cycle, image_ids)
    return uniform_of(keys[image_of], part.column("region").to_numpy())

"""Noise that belongs to a region's name: the same in any part of the pool, in any order of rows."""

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import keys_of, uniform_of


def gumbel_rows(part: pa.Table, purpose: str, seed: int, cycle: int) -> np.ndarray:
    """Gumbel(0, 1) of every row, float64 (rows,), made of its uniform draw."""
    noise: np.ndarray = -np.log(-np.log(uniform_rows(part, purpose, seed, cycle)))
    return noise


def uniform_rows(part: pa.Table, purpose: str, seed: int, cycle: int) -> np.ndarray:
    """A draw above 0 and below 1 of every row, float64 (rows,).

    It depends on purpose, seed, cycle, image and region alone: the region's number tells which
    draw it is of the image's stream. Only one name an image becomes a Python string.
    """
    indices = part.column("image_index").to_numpy()
    _, firsts, image_of = np.unique(indices, return_index=True, return_inverse=True)
    image_ids = part.column("image_id").take(pa.array(firsts)).to_pylist()
    keys = keys_of(purpose, seed, cycle, image_ids)
    return uniform_of(keys[image_of], part.column("region").to_numpy())

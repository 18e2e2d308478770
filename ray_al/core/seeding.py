"""Random numbers that follow from names, never from how long a process has lived.

A draw depends on its purpose, the run's seed, the cycle and the name of the thing it is drawn for.
It does not depend on workers, shards, order or other draws. The purpose comes first in every key,
so no two decisions share their numbers.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Increment of SplitMix64: 2^64 divided by the golden ratio, made odd."""


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed made of any values, the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def keys_of(purpose: str, seed: int, cycle: int, image_ids: Iterable[str]) -> np.ndarray:
    """Return the keys of the streams from which images draw for one purpose in one cycle.

    Returns:
        uint64 (images,): `seed_of(purpose, seed, cycle, image_id)` of each.
    """
    return np.array([seed_of(purpose, seed, cycle, name) for name in image_ids], dtype=np.uint64)


def generator(*parts: object) -> np.random.Generator:
    """Return a numpy generator seeded by `parts`, for draws that are taken one after another."""
    return np.random.default_rng(seed_of(*parts))


def bits_of(keys: np.ndarray | int, numbers: np.ndarray) -> np.ndarray:
    """Return outputs of SplitMix64 by their positions in streams.

    The generator counts upwards by a constant and mixes each count, so any output can be computed
    without those before it: Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014, with the constants of Vigna's splitmix64.c (mix 13 of Stafford).

    Args:
        keys: 64-bit start of each stream; broadcast with `numbers`.
        numbers: position of each wanted output in its stream, from 0; at least one axis.

    Returns:
        uint64, in the broadcast shape of `keys` and `numbers`.
    """
    counts = np.asarray(keys, dtype=np.uint64) + (numbers.astype(np.uint64) + np.uint64(1)) * GAMMA
    mixed = (counts ^ (counts >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    output: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return output


def uniform_of(keys: np.ndarray | int, numbers: np.ndarray) -> np.ndarray:
    """Return uniform draws by their positions in streams; arguments as of `bits_of`.

    Returns:
        float64 in the shape of `bits_of`: midpoints of 2^52 equal intervals of (0, 1). 0 and 1
        never occur, as a Gumbel draw made of them would be infinite.
    """
    drawn: np.ndarray = ((bits_of(keys, numbers) >> np.uint64(12)) + 0.5) * 2.0**-52
    return drawn

"""Random numbers drawn from names, never from how long a process has lived.

A draw belongs to its purpose, to the run's seed, to the cycle and to what it is drawn for, and to
nothing else: workers, shards, order and what else is drawn change nothing. The purpose comes first
in every key, so that no two decisions share their numbers.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any values, the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def keys_of(purpose: str, seed: int, cycle: int, image_ids: Iterable[str]) -> np.ndarray:
    """The keys of the streams that images draw from for one purpose in one cycle.

    Returns:
        uint64 (images,): `seed_of(purpose, seed, cycle, image_id)` of each.
    """
    return np.array([seed_of(purpose, seed, cycle, one) for one in image_ids], dtype=np.uint64)


def generator(*parts: object) -> np.random.Generator:
    """A numpy generator seeded by `parts`, for draws that are taken one after another."""
    return np.random.default_rng(seed_of(*parts))


def bits_of(keys: np.ndarray | int, numbers: np.ndarray) -> np.ndarray:
    """Outputs of SplitMix64 by their numbers: of the streams that start at `keys`, uint64.

    The generator counts upwards by a constant and mixes each count, so that any of its outputs is
    found without those before it: Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014, with the constants of Vigna's splitmix64.c (mix 13 of Stafford).

    Args:
        keys: where each stream starts, 64 bits; broadcast with `numbers`.
        numbers: integers from 0, which output of the stream is wanted; at least one axis.
    """
    counts = np.asarray(keys, dtype=np.uint64) + (numbers.astype(np.uint64) + np.uint64(1)) * GAMMA
    mixed = (counts ^ (counts >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    output: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return output


def uniform_of(keys: np.ndarray | int, numbers: np.ndarray) -> np.ndarray:
    """Uniform draws by their numbers, float64 above 0 and below 1, in the shape of `bits_of`.

    They are the middles of 2^52 equal intervals: 0 and 1, of which a Gumbel draw would be
    infinite, are none of them.
    """
    drawn: np.ndarray = ((bits_of(keys, numbers) >> np.uint64(12)) + 0.5) * 2.0**-52
    return drawn

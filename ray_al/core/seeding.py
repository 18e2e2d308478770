"""Random numbers drawn from names, never from how long a process has lived."""

import hashlib

import numpy as np


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any values, the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(*parts: object) -> np.random.Generator:
    """A numpy generator seeded by `parts`."""
    return np.random.default_rng(seed_of(*parts))


def uniform_of(seed: int, cycle: int, image_id: str, num_regions: int) -> np.ndarray:
    """One number in (0, 1) a region of an image.

    A number depends on `(seed, cycle, image_id, region)` alone, so that neither sharding nor the set of regions left changes it.

    Returns:
        float64 array of shape (num_regions,).
    """
    return generator(seed, cycle, image_id).random(num_regions).clip(1e-12, 1 - 1e-12)

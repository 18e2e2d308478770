"""Noise that belongs to a region's name: the same for any split of the pool into parts and in whatever order rows come.

Numbers are `uniform_of`'s, one generator an image. Making a million generators takes longer than all the rest of a selection, so
that the seeding and the steps of numpy's PCG64 are done here for many images at once, bit for bit. numpy keeps that stream fixed (NEP 19).
PCG64: O'Neill 2014, XSL-RR output; seeding: `numpy.random.SeedSequence`.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import seed_of

DRAWS_AT_A_TIME = 1 << 20
MULTIPLIER = (np.uint64(2549297995355413924), np.uint64(4865540595714422341))
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)

Pair = tuple[np.ndarray, np.ndarray]


def gumbel_rows(part: pa.Table, rule: str, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> np.ndarray:
    """Gumbel(0, 1) of every row, float64 (rows,), drawn from the rule's name, seed, cycle and region name."""
    noise: np.ndarray = -np.log(-np.log(uniform_rows(part, seed_of(seed, rule), cycle, num_regions_of)))
    return noise


def uniform_rows(part: pa.Table, seed: int, cycle: int, num_regions_of: Callable[[int], int]) -> np.ndarray:
    """One number in (0, 1) a row, float64 (rows,), as `uniform_of` gives it; only one name an image becomes a Python string."""
    indices, regions = part.column("image_index").to_numpy(), part.column("region").to_numpy()
    order = np.argsort(indices, kind="stable")
    is_first = np.diff(indices[order], prepend=-1) != 0
    firsts = order[is_first]
    image_ids = part.column("image_id").take(pa.array(firsts)).to_pylist()
    num = max(map(num_regions_of, indices[firsts].tolist()), default=0)
    uniform = np.empty(len(part))
    uniform[order] = uniform_at(seed, cycle, image_ids, np.cumsum(is_first) - 1, regions[order], num)
    return uniform


def uniform_at(seed: int, cycle: int, image_ids: Sequence[str], image_of: np.ndarray, number: np.ndarray, num: int) -> np.ndarray:
    """`uniform_of(seed, cycle, image_ids[image_of], ...)[number]` of every row, float64 (rows,).

    Args:
        image_of: int (rows,), positions in `image_ids`, ascending.
        number: int (rows,), which of an image's numbers, below `num`.
    """
    uniform = np.empty(len(number))
    if num > len(image_ids):  # few images with many numbers each: a generator an image is the faster way
        cuts = np.searchsorted(image_of, np.arange(len(image_ids) + 1))
        for image_id, start, stop in zip(image_ids, cuts[:-1], cuts[1:], strict=True):
            wanted = number[start:stop]
            uniform[start:stop] = np.random.default_rng(seed_of(seed, cycle, image_id)).random(wanted.max(initial=-1) + 1)[wanted]
        return uniform.clip(1e-12, 1 - 1e-12)
    step = max(1, DRAWS_AT_A_TIME // max(1, num))
    for start in range(0, len(image_ids), step):
        rows = slice(*np.searchsorted(image_of, [start, start + step]))
        seeds = np.array([seed_of(seed, cycle, image_id) for image_id in image_ids[start : start + step]], dtype=np.uint64)
        uniform[rows] = random_of(seeds, num)[number[rows], image_of[rows] - start]
    return uniform.clip(1e-12, 1 - 1e-12)


def random_of(seeds: np.ndarray, num: int) -> np.ndarray:
    """`np.random.default_rng(seed).random(num)` of every seed, uint64 (N,), as float64 (num, N)."""
    words = _seed_words(seeds)
    increment = words[2] << np.uint64(1) | words[3] >> np.uint64(63), words[3] << np.uint64(1) | np.uint64(1)
    state = _step(_add(increment, (words[0], words[1])), increment)
    drawn = np.empty((num, len(seeds)))
    for row in drawn:
        state = _step(state, increment)
        mixed, turn = state[0] ^ state[1], state[0] >> np.uint64(58)
        output = mixed >> turn | mixed << (-turn & np.uint64(63))
        row[:] = (output >> np.uint64(11)) * 2.0**-53
    return drawn


def _seed_words(seeds: np.ndarray) -> list[np.ndarray]:
    """The four 64-bit words that SeedSequence makes of a seed below 2^64."""
    zero = np.zeros(len(seeds), dtype=np.uint32)
    entropy = [(seeds & LOW).astype(np.uint32), (seeds >> HALF).astype(np.uint32), zero, zero]
    constants = _constants(0x43B0D7E5, 0x931E8875)
    pool = [_hashed(word, *next(constants)) for word in entropy]
    for source in range(4):
        for target in range(4):
            if source != target:
                mixed: np.ndarray = np.uint32(0xCA01F9DD) * pool[target] - np.uint32(0x4973F715) * _hashed(pool[source], *next(constants))
                pool[target] = mixed ^ mixed >> np.uint32(16)
    constants = _constants(0x8B51F9DD, 0x58F38DED)
    halves = [_hashed(pool[i % 4], *next(constants)).astype(np.uint64) for i in range(8)]
    return [halves[i] | halves[i + 1] << HALF for i in range(0, 8, 2)]


def _constants(value: int, multiplier: int) -> Iterator[tuple[np.uint32, np.uint32]]:
    while True:
        following = value * multiplier & 0xFFFFFFFF
        yield np.uint32(value), np.uint32(following)
        value = following


def _hashed(word: np.ndarray, constant: np.uint32, following: np.uint32) -> np.ndarray:
    mixed = (word ^ constant) * following
    return mixed ^ mixed >> np.uint32(16)


def _step(state: Pair, increment: Pair) -> Pair:
    """state * MULTIPLIER + increment modulo 2^128; a pair is (high, low)."""
    high, low = state
    factor_high, factor_low = MULTIPLIER
    return _add((_high_product(low, factor_low) + high * factor_low + low * factor_high, low * factor_low), increment)


def _add(a: Pair, b: Pair) -> Pair:
    low = a[1] + b[1]
    return a[0] + b[0] + (low < b[1]), low


def _high_product(a: np.ndarray, b: np.uint64) -> np.ndarray:
    """The upper 64 bits of a * b."""
    a_high, a_low, b_high, b_low = a >> HALF, a & LOW, b >> HALF, b & LOW
    middle = a_high * b_low + (a_low * b_low >> HALF)
    product: np.ndarray = a_high * b_high + (middle >> HALF) + ((middle & LOW) + a_low * b_high >> HALF)
    return product

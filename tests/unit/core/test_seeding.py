import warnings

import numpy as np
import pytest
from scipy import stats

from ray_al.core.seeding import bits_of, keys_of, seed_of, uniform_of

PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
"""The first outputs of Vigna's splitmix64.c from the seed 1234567."""
NUM_KEYS, NUM_DRAWS = 300, 300


def next_of_splitmix64(state):
    """A step of splitmix64.c in Python's own integers: the new state and the output."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    mixed = state
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return state, mixed ^ mixed >> 31


def test_the_published_outputs():
    assert bits_of(1234567, np.arange(5)).tolist() == PUBLISHED
    assert bits_of(1234567, np.array([4, 0])).tolist() == [PUBLISHED[4], PUBLISHED[0]]


@pytest.mark.parametrize("key", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_output_without_those_before_it(key):
    expected, state = [], key
    for _ in range(60):
        state, output = next_of_splitmix64(state)
        expected.append(output)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bits_of(key, np.arange(60, dtype=np.int32)).tolist() == expected


def test_keys_and_numbers_broadcast():
    keys = np.array([7, 2**64 - 1, 0], dtype=np.uint64)
    drawn = bits_of(keys[:, None], np.arange(4))
    assert drawn.tolist() == [bits_of(int(key), np.arange(4)).tolist() for key in keys]
    numbers = np.array([3, 0, 2])
    each = [uniform_of(int(keys[i]), numbers[i : i + 1]).item() for i in range(3)]
    assert uniform_of(keys, numbers).tolist() == each


def test_a_key_is_the_seed_of_its_parts():
    expected = [seed_of("power", 3, 2, name) for name in "aba"]
    assert keys_of("power", 3, 2, ["a", "b", "a"]).tolist() == expected
    assert keys_of("power", 3, 2, []).dtype == np.uint64
    parts = [("power", 3, 2), ("softmax", 3, 2), ("power", 4, 2), ("power", 3, 1)]
    assert len({keys_of(*one, ["a"]).item() for one in parts}) == len(parts)


@pytest.mark.parametrize(("bits", "expected"), [(0, 2.0**-53), (2**64 - 1, 1 - 2.0**-53)])
def test_neither_0_nor_1_is_drawn(monkeypatch, bits, expected):
    drawn_bits = np.array([bits], dtype=np.uint64)
    monkeypatch.setattr("ray_al.core.seeding.bits_of", lambda keys, numbers: drawn_bits)
    (drawn,) = uniform_of(0, np.arange(1))
    assert drawn == expected and 0 < drawn < 1
    assert np.isfinite(-np.log(-np.log(drawn)))


def drawn_from(keys):
    return uniform_of(keys[:, None], np.arange(NUM_DRAWS))


KEYS = {
    "of names": keys_of("power", 0, 0, [f"image_{number:04d}" for number in range(NUM_KEYS)]),
    "next to each other": np.arange(NUM_KEYS, dtype=np.uint64),
    "that differ in high bits": np.arange(NUM_KEYS, dtype=np.uint64) << np.uint64(54),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_draws_are_uniform(keys):
    drawn = drawn_from(keys)
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 0.001
    for axis in (0, 1):  # what each number draws over the keys, and each key over the numbers
        p_values = stats.kstest(drawn, "uniform", axis=axis).pvalue
        assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)])
def test_neighbours_are_independent(keys, step):
    """A draw and the one that lies `step` further: a chi-square test on 16 x 16 cells."""
    drawn = drawn_from(keys)
    down, right = step
    one = drawn[: NUM_KEYS - down, max(0, -right) : NUM_DRAWS - max(0, right)]
    other = drawn[down:, max(0, right) : NUM_DRAWS + min(0, right)]
    counts = np.histogram2d(one.ravel(), other.ravel(), bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(counts.ravel()).pvalue > 0.001
    # Under independence, the correlation times the root of the number of pairs is standard normal.
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) * np.sqrt(one.size) < 3.5


def test_every_bit_of_key_and_number_changes_half_of_the_output():
    """Each output bit flips in about half of 2,000 cases, whichever input bit is turned."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, 2000, dtype=np.uint64)
    numbers = rng.integers(0, 2**30, 2000)
    for bit in range(64):
        turned = keys ^ np.uint64(1) << np.uint64(bit)
        assert_half_flip(bits_of(keys, numbers) ^ bits_of(turned, numbers))
    for bit in range(30):
        assert_half_flip(bits_of(keys, numbers) ^ bits_of(keys, numbers ^ (1 << bit)))


def assert_half_flip(changed):
    flips = (changed[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).mean(axis=0)
    assert np.abs(flips - 0.5).max() < 5 * 0.5 / np.sqrt(len(changed))

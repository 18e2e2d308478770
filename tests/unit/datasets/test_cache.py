"""The cache of decoded arrays keeps its limit and drops what was used longest ago."""

import numpy as np
import pytest

from ray_al.datasets.cache import ByteCache, hold
from ray_al.datasets.whole import forget_files


@pytest.fixture(autouse=True)
def hold_no_files():
    """Files that an earlier test decoded would take room from the caches."""
    forget_files()


def array(num_bytes):
    return np.zeros(num_bytes, dtype=np.uint8)


def test_the_least_recently_used_arrays_make_room():
    cache = ByteCache(10)
    for key in "abc":
        cache.put(key, array(3))
    assert cache.get("a") is not None
    cache.put("d", array(4))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.num_bytes == 10


def test_an_array_above_the_limit_is_not_kept_and_drops_no_other():
    cache = ByteCache(10)
    cache.put("a", array(6))
    cache.put("b", array(11))
    assert cache.get("b") is None and cache.get("a") is not None
    cache.put("a", array(11))
    assert cache.get("a") is None and cache.num_bytes == 0


def test_an_array_that_is_put_again_counts_once():
    cache = ByteCache(10)
    cache.put("a", array(6))
    cache.put("a", array(7))
    assert cache.num_bytes == 7 and cache.get("a").nbytes == 7


def test_a_limit_of_0_keeps_nothing():
    cache = ByteCache(0)
    cache.put("a", array(1))
    assert cache.get("a") is None and cache.num_bytes == 0


def test_the_caches_of_a_process_share_one_limit_and_keep_their_keys_apart():
    first, second = ByteCache.of_process(10), ByteCache.of_process(10)
    first.put("a", array(6))
    second.put("a", array(3))
    assert (first.get("a").nbytes, second.get("a").nbytes) == (6, 3)
    second.put("b", array(5))
    assert first.get("a") is None
    assert first.num_bytes == second.num_bytes == 8


def test_caches_leave_room_for_files_that_are_held_up_to_half_of_their_limit():
    kept = ByteCache.of_process(12)
    try:
        for key in "abcd":
            kept.put(key, array(3))
        hold("images", 4)
        assert [key for key in "abcd" if kept.get(key) is not None] == ["c", "d"]
        hold("masks", 100)
        assert kept.num_bytes == 6
        hold("images", 0)
        hold("masks", 0)
        kept.put("e", array(6))
        assert kept.num_bytes == 12
    finally:
        hold("images", 0)
        hold("masks", 0)

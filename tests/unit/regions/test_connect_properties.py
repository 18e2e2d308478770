"""Properties of connected regions that hold for any map of ids."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from ray_al.regions.connect import connect, in_reading_order

few = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def maps(draw):
    """Ids (H, W), not always without gaps."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    size = height * width
    ids = draw(st.lists(st.sampled_from((0, 1, 2, 7)), min_size=size, max_size=size))
    return np.array(ids).reshape(height, width)


def first_pixels(ids):
    return [int(np.flatnonzero(ids.ravel() == number)[0]) for number in range(int(ids.max()) + 1)]


def check_regions(ids):
    """Ids have no gaps, follow their first pixels, and each is one 4-connected piece."""
    firsts = first_pixels(ids)
    assert firsts == sorted(firsts)
    for number in range(int(ids.max()) + 1):
        assert label(ids == number)[1] == 1


@few
@given(maps(), st.sampled_from((1, 2, 3.5, 6, 100)))
def test_regions_are_connected_and_large_enough(ids, min_pixels):
    connected = connect(ids, min_pixels)
    assert connected.dtype == np.int32 and connected.shape == ids.shape
    check_regions(connected)
    sizes = np.bincount(connected.ravel())
    assert len(sizes) == 1 or sizes.min() >= min_pixels
    assert np.array_equal(connect(connected, min_pixels), connected)


@few
@given(maps())
def test_without_a_minimum_neighbours_share_a_region_if_they_share_an_id(ids):
    connected = connect(ids, 1)
    assert np.array_equal(connected[1:] == connected[:-1], ids[1:] == ids[:-1])
    assert np.array_equal(connected[:, 1:] == connected[:, :-1], ids[:, 1:] == ids[:, :-1])


@few
@given(maps(), st.sampled_from((2, 3.5, 6, 100)))
def test_merging_only_joins_whole_pieces(ids, min_pixels):
    pieces, merged = connect(ids, 1), connect(ids, min_pixels)
    for number in range(int(pieces.max()) + 1):
        assert len(np.unique(merged[pieces == number])) == 1
    large = np.flatnonzero(np.bincount(pieces.ravel()) >= min_pixels)
    if len(large):  # a large piece joins no other, so each keeps a region of its own
        owners = [merged[pieces == number][0] for number in large]
        assert len(set(owners)) == len(owners)


@few
@given(maps())
def test_numbers_in_reading_order_keep_the_partition(ids):
    numbered = in_reading_order(ids)
    firsts = first_pixels(numbered)
    assert firsts == sorted(firsts)
    pairs = set(zip(ids.ravel().tolist(), numbered.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(ids)) == len(np.unique(numbered))

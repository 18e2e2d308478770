import numpy as np
import pytest

from ray_al.train.sieve import find_knee, sieve


def test_the_curve_of_kneedles_paper():
    # y = 5 - 1/x at ten equal steps from 0.1 to 1 has its knee at the third point (Satopaa et al.,
    # figure 2).
    assert find_knee(5 - 1 / np.linspace(0.1, 1, 10)) == 2


def test_by_hand():
    # Heights above the diagonal: 0, 0.15, 0.6, 0.4, 0.2, 0, with a threshold of 0.6 - 1/5.
    assert find_knee(np.array([0.0, 0.35, 1.0, 1.0, 1.0, 1.0])) == 2


@pytest.mark.parametrize(
    "curve",
    [
        [0.5],
        [0.1, 0.9],
        [0.3, 0.3, 0.3, 0.3],
        np.linspace(0, 1, 11),
        np.linspace(0, 1, 21) ** 3,
        [0.0, 0.0, 0.0, 1.0],
    ],
)
def test_no_knee_in_flat_straight_and_convex_curves(curve):
    assert find_knee(np.array(curve)) is None


def test_a_maximum_after_which_the_curve_rises_again_is_no_knee():
    # Heights: 0, .15, .1, .3, .2, 0. The first maximum falls by .05 only, less than a mean step,
    # and the second takes its place.
    assert find_knee(np.array([0.0, 0.35, 0.5, 0.9, 1.0, 1.0])) == 3


def test_low_pixels_are_dropped_in_their_own_order():
    p = np.array([0.95] * 5 + [0.1, 0.2] + [0.95] * 8 + [0.3] + [0.96] * 4)
    kept = sieve(p)
    assert kept.tolist() == (p >= 0.95).tolist()


@pytest.mark.parametrize("p", [[0.4], [0.2, 0.9], [0.7] * 50, [0.0] * 30, [1.0] * 30])
def test_without_a_knee_all_are_kept(p):
    assert sieve(np.array(p, np.float32)).all()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n", [1, 3, 19, 20, 39, 400])
def test_random_regions(seed, n):
    p = np.random.default_rng(seed).beta(4, 1, n).astype(np.float32)
    kept = sieve(p)
    assert kept.shape == (n,) and kept.dtype == bool
    assert kept.any()
    assert p[kept].min() >= p[~kept].max(initial=-1)
    order = np.random.default_rng(seed + 1).permutation(n)
    assert (sieve(p[order]) == kept[order]).all()


def test_two_populations_part_between_them():
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(0.0, 0.2, 100), rng.uniform(0.9, 1.0, 500)])
    kept = sieve(p)
    assert not kept[:100].any()
    assert kept[100:].mean() > 0.9

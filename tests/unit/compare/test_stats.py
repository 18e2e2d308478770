import numpy as np
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.multitest import multipletests

from ray_al.compare.stats import (
    bootstrap_mean,
    holm,
    mean_ranks,
    paired_p,
    penalty_matrix,
    power,
    seeds_needed,
)
from ray_al.sweep.curves import aubc, value_at


def test_a_constant_curve_has_its_value_as_area_on_any_budget_axis():
    assert aubc([0.02, 0.05, 0.12], [0.4, 0.4, 0.4]) == pytest.approx(0.4)
    assert aubc([0.02, 0.05, 0.12], [0.4, 0.4, 0.4], log=True) == pytest.approx(0.4)


def test_the_area_weighs_by_the_budget_not_by_the_number_of_cycles():
    # 0.1 wide at a mean of 0.2, 0.3 wide at a mean of 0.4: (0.02 + 0.12) / 0.4
    assert aubc([0.1, 0.2, 0.5], [0.1, 0.3, 0.5]) == pytest.approx(0.35)
    assert aubc([1, 10, 100], [0.0, 1.0, 1.0], log=True) == pytest.approx(0.75)
    assert aubc([0.3], [0.5]) == 0.5


def test_a_curve_is_unknown_outside_of_its_budgets():
    x, y = np.array([2.0, 4.0, 8.0]), np.array([0.1, 0.3, 0.5])
    assert value_at(x, y, 6.0) == pytest.approx(0.4)
    assert np.isnan(value_at(x, y, 9.0))


def test_paired_p_is_the_one_sample_test_on_the_differences():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=6), rng.normal(size=6)
    assert paired_p(one, other) == pytest.approx(ttest_1samp(one - other, 0).pvalue)
    assert paired_p([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert np.isnan(paired_p([1.0, 2.0], [0.0, 1.0]))
    assert np.isnan(paired_p([1.0], [0.0]))


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never decreasing
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    p = np.random.default_rng(1).random(20)
    assert holm([*p, np.nan])[:20] == pytest.approx(multipletests(p, method="holm")[1])
    assert np.isnan(holm([np.nan])[0])


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_identical_strategies_are_called_different_in_at_most_7_of_100(num_seeds):
    rng = np.random.default_rng(2)
    seeds = rng.normal(0.3, 0.05, (500, num_seeds))  # what a seed shares, which pairing removes
    one, other = (seeds + rng.normal(0, 0.01, seeds.shape) for _ in range(2))
    rate = np.mean([paired_p(a, b) < 0.05 for a, b in zip(one, other, strict=True)])
    assert 0.03 < rate <= 0.07


def test_the_matrix_of_identical_strategies_is_empty_in_at_least_93_of_100():
    rng = np.random.default_rng(3)
    found = [
        penalty_matrix([rng.normal(size=(5, 3)) for _ in range(3)]).wins.any() for _ in range(200)
    ]
    assert np.mean(found) <= 0.07


def test_a_true_difference_is_found_with_the_power_that_is_claimed():
    rng = np.random.default_rng(4)
    for effect, num_seeds in ((1.5, 5), (0.8, 10), (2.0, 4)):
        found = np.mean(
            [
                paired_p(rng.normal(effect, 1, num_seeds), np.zeros(num_seeds)) < 0.05
                for _ in range(500)
            ]
        )
        assert found == pytest.approx(power(effect, num_seeds), abs=0.04)


def test_seeds_needed_is_the_first_number_with_that_power():
    needed = seeds_needed(1.0)
    assert needed == 10  # Cohen's table: 9.9 pairs for an effect of 1
    assert power(1.0, needed) >= 0.8 > power(1.0, needed - 1)
    assert seeds_needed(-1.0) == needed
    assert seeds_needed(0.0) is None
    assert seeds_needed(float("nan")) is None


def test_the_penalty_matrix_names_the_winner_at_its_budgets():
    rng = np.random.default_rng(5)
    base = rng.normal(0.3, 0.001, (6, 4))
    better = base + rng.normal(0, 0.0005, (6, 4))
    better[:, 2:] += 0.05
    wins = penalty_matrix([base, better]).wins
    assert wins[1, 0] == 0.5
    assert wins[0, 1] == 0
    assert penalty_matrix([base, better]).num_tests == 4


def test_ranks_and_the_critical_difference_of_demsars_example():
    scores = np.array([[0.1, 0.2, 0.3, 0.3], [0.1, 0.3, 0.2, 0.4]])
    assert mean_ranks(scores).mean == pytest.approx([4, 2.5, 2.25, 1.25])
    # Demsar (2006), section 3.2.2: 4 classifiers, 14 data sets, q = 2.569, CD = 1.25
    assert mean_ranks(np.random.default_rng(6).random((14, 4))).critical == pytest.approx(
        2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3
    )


def test_the_interval_holds_the_mean_and_needs_two_seeds():
    interval = bootstrap_mean([0.1, 0.2, 0.3])
    assert interval.low == pytest.approx(0.1)
    assert interval.high == pytest.approx(0.3)
    assert bootstrap_mean([0.2]).low is None
    covered = 0
    rng = np.random.default_rng(7)
    for _ in range(300):
        interval = bootstrap_mean(rng.normal(0, 1, 20))
        covered += interval.low <= 0 <= interval.high
    assert covered / 300 > 0.88

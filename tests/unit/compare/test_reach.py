import numpy as np
import pytest
from helpers.made_up_runs import made_up_group

from ray_al.compare.reach import estimate, estimate_text, exact, reach, seed_curves, share_saved
from ray_al.compare.saved import needed_text, percent_text


def slow_reach(x, y, target):
    if y[0] >= target:
        return 0.0, x[0]
    for i in range(1, len(x)):
        if y[i] >= target:
            budget = np.exp(np.interp(target, [y[i - 1], y[i]], np.log([x[i - 1], x[i]])))
            return budget, budget
    return x[-1], np.inf


def test_the_budget_of_a_score_is_that_of_a_slow_reference():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(1, 100, (200, 5)), axis=1)
    y = rng.random((200, 5))
    target = rng.random(200)
    low, high = reach(x, y, target)
    for row in range(200):
        assert (low[row], high[row]) == pytest.approx(slow_reach(x[row], y[row], target[row]))


def test_a_curve_of_one_point_and_a_flat_one():
    low, high = reach(np.array([[5.0], [5.0]]), np.array([[0.4], [0.4]]), np.array([0.3, 0.5]))
    assert (low.tolist(), high.tolist()) == ([0, 5], [5, np.inf])
    low, high = reach(np.array([[5.0, 10.0]]), np.array([[0.4, 0.4]]), np.array([0.4]))
    assert (low[0], high[0]) == (0, 5)


def test_between_two_points_the_line_lies_over_the_logarithm():
    low, high = reach(np.array([[1.0, 100.0]]), np.array([[0.2, 0.4]]), np.array([0.3]))
    assert low[0] == high[0] == pytest.approx(10)


def test_labels_saved_by_hand():
    x, y = np.array([[2.0, 4.0, 8.0]]), np.array([[0.1, 0.3, 0.5]])
    # the reference reaches 0.3 at 8, the strategy at 4: half of the labels
    low, high = share_saved(
        reach(x, y, np.array([0.3])), reach(x, np.array([[0.1, 0.2, 0.3]]), np.array([0.3]))
    )
    assert low[0] == high[0] == pytest.approx(0.5)


def test_what_is_saved_has_the_bounds_that_the_budgets_allow():
    low, high = share_saved(
        (np.array([5.0, 5, 5, 0]), np.array([5.0, 5, np.inf, 5])),
        (np.array([10.0, 10, 10, 10]), np.array([10.0, np.inf, 10, 10])),
    )
    assert low.tolist() == [0.5, 0.5, -np.inf, 0.5]
    assert high.tolist() == [0.5, 1.0, 0.5, 1.0]
    low, high = share_saved(exact(np.array([5.0])), (np.array([0.0]), np.array([4.0])))
    assert (low[0], high[0]) == (-np.inf, -0.25)


def test_resamples_that_reach_nothing_widen_the_interval_and_are_not_dropped():
    known = np.linspace(0.2, 0.4, 900)
    drawn = np.concatenate([known, np.full(100, 0.3)]), np.concatenate([known, np.full(100, 1.0)])
    facts = estimate(exact(np.array([0.3])), drawn)
    assert facts.value == 0.3
    assert facts.low == pytest.approx(0.206, abs=2e-3)
    assert (facts.high, facts.open_high, facts.known) == (1.0, False, 0.9)
    dropped = np.percentile(known, 97.5)
    assert facts.high > dropped
    facts = estimate(
        exact(np.array([0.3])),
        (
            np.concatenate([known, np.full(100, -np.inf)]),
            np.concatenate([known, np.full(100, 0.1)]),
        ),
    )
    assert (facts.low, facts.open_low) == (None, True)
    assert percent_text(facts) == "30 [open, 39]"


def test_texts_say_what_is_not_known():
    assert estimate_text(None) == "-"
    inf = np.inf
    for low, high, text in (
        (0.4, 1.0, "at least 40"),
        (-inf, 0.1, "at most 10"),
        (-inf, 1.0, "unknown"),
        (0.1, 0.2, "10 to 20"),
    ):
        assert percent_text(estimate((np.array([low]), np.array([high])), None)) == text
    assert estimate_text(estimate((np.array([8.0]), np.array([np.inf])), None)) == "at least 8"


def test_seeds_of_other_lengths_are_compared_as_far_as_all_go():
    group = made_up_group("a", lambda budget: budget / 1000, [50, 100, 200], seeds=range(2))
    short = made_up_group("a", lambda budget: budget / 1000, [50, 100], seeds=[2])
    both = seed_curves(type(group)(label="a", setting={}, runs=(*group.runs, *short.runs)), "share")
    assert both.x.shape == both.y.shape == (3, 2)
    scaled = seed_curves(group, "share", [0.5, 0.25])
    assert scaled.y[:, -1] == pytest.approx([0.2 / 0.5, 0.2 / 0.25])


def test_small_budgets_keep_two_digits():
    bounds = np.array([0.0000058]), np.array([np.inf])
    assert needed_text(estimate(bounds, None), is_share=True) == "at least 0.00058 %"
    assert needed_text(estimate((np.array([0.05]),) * 2, None), is_share=True) == "5.00 %"

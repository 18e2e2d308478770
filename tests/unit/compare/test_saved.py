from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from helpers.made_up_runs import made_up_group

from ray_al.compare.by_budget import compare
from ray_al.compare.run_result import Grouped
from ray_al.compare.saved import labels_saved
from ray_al.compare.stats import resamples
from ray_al.compare.text import comparison_text, saved_text

BUDGETS = [25, 50, 125]


def logarithm(factor):
    """A curve that needs 1 / `factor` of the labels of the curve of 1."""
    return lambda budget: 0.1 * np.log(factor * budget)


def test_a_strategy_that_needs_half_of_the_labels_saves_half():
    facts = labels_saved(
        made_up_group("a", logarithm(2), BUDGETS),
        made_up_group("random", logarithm(1), BUDGETS),
        "share",
    )
    assert (facts.value, facts.low, facts.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (facts.forward, facts.known) == (False, 1.0)
    assert facts.costs["pixels"].value == pytest.approx(0.5)
    # at the strategy's first score nobody knows how early it was reached
    assert facts.curve.saved[1:] == pytest.approx([0.5] * 24)


def test_a_reference_with_more_measured_budgets_gives_all_of_them_to_the_figure():
    own, base = (
        made_up_group("a", logarithm(4), BUDGETS),
        made_up_group("random", logarithm(1), [25, 50, 125, 300, 700]),
    )
    facts = labels_saved(own, base, "share")
    assert facts.forward and facts.target == pytest.approx(0.1 * np.log(500))
    assert facts.value == pytest.approx(0.75)
    assert [point.reference_budget.value for point in facts.points] == pytest.approx(
        [0.04, 0.08, 0.2]
    )
    assert [point.saved.value for point in facts.points] == pytest.approx([0.75] * 3)


def test_a_score_that_the_reference_never_reaches_is_said():
    own, base = (
        made_up_group("a", lambda budget: 0.9, BUDGETS),
        made_up_group("random", logarithm(1), [25, 50, 125, 250]),
    )
    facts = labels_saved(own, base, "share")
    # it had its last score with its first budget, a tenth of the reference's last
    assert (facts.value, facts.at_least, facts.known) == (None, pytest.approx(0.9), 0.0)
    assert (facts.low, facts.high) == (pytest.approx(0.9), 1.0)
    assert facts.points[0].reference_budget.at_least == pytest.approx(0.1)
    worse = labels_saved(
        made_up_group("a", lambda budget: 0.01, BUDGETS),
        made_up_group("random", logarithm(1), BUDGETS),
        "share",
    )
    assert (worse.value, worse.at_most) == (None, pytest.approx(0.0)) and worse.open_low


@pytest.mark.parametrize("budgets", [BUDGETS, [*BUDGETS, 700]])
def test_equal_curves_save_nothing_even_if_their_last_score_is_lower(budgets):
    fallen = {25: 0.3, 50: 0.6, 125: 0.55, 700: 0.7}.__getitem__
    facts = labels_saved(
        made_up_group("a", fallen, BUDGETS), made_up_group("random", fallen, budgets), "share"
    )
    assert facts.forward == (budgets is not BUDGETS) and facts.target == pytest.approx(0.55)
    numbers = [facts, *facts.costs.values()]
    assert [number.value for number in numbers] == pytest.approx([0.0] * 4)
    assert facts.points[-1].saved.value < 0  # but its last budget alone was spent in vain


def test_more_clicks_a_label_save_less_in_clicks_and_minutes():
    own = made_up_group("a", logarithm(2), BUDGETS, clicks=10)
    costs = labels_saved(
        own, made_up_group("random", logarithm(1), BUDGETS, clicks=5), "share"
    ).costs
    assert costs["clicks"].value == pytest.approx(0.0)
    assert 0 < costs["minutes"].value < costs["pixels"].value


def test_the_interval_is_that_of_a_slow_bootstrap_over_paired_seeds():
    own = made_up_group("a", logarithm(2), BUDGETS, spread=0.01)
    base = made_up_group("random", logarithm(1), [*BUDGETS, 300], spread=0.01)
    facts = labels_saved(own, base, "share")
    y, base_y = (
        np.array([[row["miou"] for row in run.rows] for run in group.runs]) for group in (own, base)
    )
    x = np.log(np.array([*BUDGETS, 300]) / 2500)
    drawn = []
    for draw in resamples(10):
        mean, target = base_y[draw].mean(axis=0), y[draw].mean(axis=0)[-1]
        first = int(np.flatnonzero(mean >= target)[0])
        needed = np.exp(np.interp(target, mean[first - 1 : first + 1], x[first - 1 : first + 1]))
        drawn.append(1 - 0.05 / needed)
    assert (facts.low, facts.high) == pytest.approx(
        tuple(np.percentile(drawn, [2.5, 97.5])), abs=2e-3
    )
    assert facts.low < 0.5 < facts.high


def shifted(curve: Callable[[float], float], shifts: Iterator[float], budget: float) -> float:
    """Return a point of a curve, moved by the next of the shifts."""
    return curve(budget) + next(shifts)


def test_the_interval_covers_what_is_saved_in_most_pools():
    covered = []
    for pool in range(20):
        rng = np.random.default_rng(pool)
        groups = []
        for factor, budgets in ((2, BUDGETS), (1, [*BUDGETS, 300])):
            shifts = iter(rng.normal(0, 0.01, 10 * len(budgets)).tolist())
            curve = logarithm(factor)
            groups.append(
                made_up_group(
                    str(factor),
                    partial(shifted, curve, shifts),
                    budgets,
                )
            )
        half, whole = groups
        facts = labels_saved(half, whole, "share")
        covered.append(facts.low <= 0.5 <= facts.high)
    assert np.mean(covered) >= 0.8


def test_one_seed_has_no_interval():
    facts = labels_saved(
        made_up_group("a", logarithm(2), BUDGETS, seeds=[0]),
        made_up_group("random", logarithm(1), BUDGETS, seeds=[0]),
        "share",
    )
    assert (facts.value, facts.low, facts.known) == (pytest.approx(0.5), None, None)


def grouped(*groups):
    return Grouped(groups=groups, apart=(), keys=("strategy.acquisition",))


def test_the_terminal_shows_labels_saved_and_what_the_reference_needs():
    own = made_up_group("a", logarithm(4), BUDGETS, score="a")
    facts = compare(
        grouped(made_up_group("random", logarithm(1), [*BUDGETS, 300, 700]), own),
        measure="final_miou",
    )
    text = saved_text(facts)
    assert "a        0.6215  75 [75, 75]" in text
    assert "a        0.6215 with 5.00 %: 20.00 %; saved 75 [75, 75] %" in text
    assert "75 [75, 75] %" in comparison_text(facts)
    assert saved_text(compare(grouped(own), measure="final_miou")) == ""


def test_areas_are_compared_at_the_budgets_that_all_were_measured_at():
    more = made_up_group("random", logarithm(1), [25, 37, 50, 80, 125, 300])
    facts = compare(
        grouped(more, made_up_group("a", logarithm(1), BUDGETS, score="a")), measure="final_miou"
    )
    assert facts.grid == pytest.approx([0.01, 0.02, 0.05])
    assert facts.tests.pairs[0].difference == pytest.approx(0, abs=1e-9)
    assert len(facts.groups[0].curves["share"].x) == 6


def test_the_share_of_the_full_score_is_that_of_each_seed():
    group = made_up_group("random", lambda budget: 0.4, BUDGETS, seeds=range(3))
    runs = [
        run.__class__(**{**run.__dict__, "full": full})
        for run, full in zip(group.runs, (0.5, 0.8, None), strict=True)
    ]
    (facts,) = compare(grouped(type(group)(label="random", setting={}, runs=tuple(runs)))).groups
    assert facts.full_own.mean == pytest.approx(np.mean([0.4 / 0.5, 0.4 / 0.8, 0.4 / 0.65]))

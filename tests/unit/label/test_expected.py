"""The time that labels are expected to take."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import minimize

from ray_al.compare.costs import CostModel
from ray_al.core.strategy import LabelTime
from ray_al.label.expected import ExpectedClicks, expected_seconds, fit_clicks


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("trend", [-2.0, 0.0, 5.0])
def test_no_line_that_rises_from_zero_or_above_is_nearer(scale, trend):
    rng = np.random.default_rng(1)
    outlines = rng.uniform(0, scale, 40)
    clicks = np.maximum(1, 4 + trend * outlines / scale + rng.normal(0, 1, 40)).round()

    def error(line):
        return ((line[0] + line[1] * outlines / scale - clicks) ** 2).sum()

    best = minimize(error, [1.0, 1.0], bounds=[(0, None), (0, None)])
    found = fit_clicks(outlines, clicks)
    assert found.base >= 0 and found.per_pixel >= 0
    assert error([found.base, found.per_pixel * scale]) <= best.fun * (1 + 1e-4) + 1e-6


def test_regions_without_predicted_outlines_give_their_mean():
    found = fit_clicks(np.zeros(4), np.array([2, 4, 6, 8]))
    assert (found.base, found.per_pixel) == (5.0, 0.0)


def test_a_label_takes_a_click_at_least():
    expected = ExpectedClicks(base=0.0, per_pixel=0.5)
    assert expected.of(np.array([0.0, 1.0, 8.0])).tolist() == [1.0, 1.0, 4.0]


def test_seconds_by_hand():
    clicks, time = np.array([1.0, 5.0]), LabelTime(image=5, region=1, class_name=2, click=0.5)
    assert expected_seconds(clicks, time, clicks_name_classes=False).tolist() == [8.0, 10.0]
    assert expected_seconds(clicks, time, clicks_name_classes=True).tolist() == [8.0, 16.0]


@pytest.mark.parametrize("clicks_name_classes", [False, True])
def test_no_label_takes_no_time(clicks_name_classes):
    with pytest.raises(ValidationError, match="class_name"):
        LabelTime(image=0, region=0, class_name=0)
    least = LabelTime(image=0, region=0, class_name=0.1)
    one = expected_seconds(np.ones(1), least, clicks_name_classes=clicks_name_classes)
    assert one.tolist() == [0.1]


def test_the_seconds_are_those_by_which_runs_are_compared():
    model, time = CostModel(), LabelTime()
    assert (time.image, time.region, time.class_name, time.click) == (
        model.image,
        model.region,
        model.class_name,
        model.click,
    )

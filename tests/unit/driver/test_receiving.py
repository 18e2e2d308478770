"""Labels that arrive: what annotators must say of those that they refuse."""

from types import SimpleNamespace

import numpy as np
import pytest

from ray_al.core.errors import RayALError
from ray_al.core.types import Refusal
from ray_al.driver.receiving import collect_answers

WHOLE = {"image_id": "a", "region": 1, "reason": "no class", "final": False}


def collect(refusal):
    answers = SimpleNamespace(refused=(refusal,))
    return collect_answers(SimpleNamespace(collect=lambda asked: answers), "asked")


def test_refusals_that_can_be_recorded_are_passed_on():
    (refusal,) = collect(Refusal(**WHOLE)).refused
    assert refusal.name == ("a", 1)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (WHOLE, r"'region': 1.*\(it is a dict\); give a ray_al.core.types.Refusal"),
        (Refusal(**{**WHOLE, "region": np.int64(1)}), r"\(region is (np\.int64\()?1"),
        (Refusal(**{**WHOLE, "reason": None}), "reason is None"),
    ],
)
def test_a_refusal_that_cannot_be_recorded_is_named_with_the_setting(refusal, words):
    with pytest.raises(RayALError, match=f"label.annotator: it refused a region by .*{words}"):
        collect(refusal)

"""Labels that arrive: what annotators must say of those that they refuse."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from ray_al.core.errors import RayALError
from ray_al.core.families.annotators import Answers
from ray_al.core.types import Refusal
from ray_al.driver.receiving import collect_answers

WHOLE = {"image_id": "a", "region": 1, "reason": "no class", "final": False}


def collect(*refused, labels=(), taken=frozenset()):
    columns = {"image_id": [name for name, _ in labels], "region": [one for _, one in labels]}
    answers = Answers(table=pa.table(columns), refused=refused)
    asked = SimpleNamespace(taken=taken)
    return collect_answers(SimpleNamespace(collect=lambda asked: answers), asked)


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


def test_the_first_answer_to_a_region_counts():
    other = Refusal(**{**WHOLE, "region": 2})
    given = collect(Refusal(**WHOLE), other, labels=[("a", 3)], taken={("a", 1)})
    assert given.refused == (other,)
    with pytest.raises(RayALError, match="1 labels of regions that have one already, such as regi"):
        collect(labels=[("a", 3), ("a", 1)], taken={("a", 1)})

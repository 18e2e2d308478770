"""Labels that arrive: what annotators must say of those that they refuse."""

import pytest

from ray_al.core.errors import RayALError
from ray_al.driver.receiving import refusal_of


def test_a_refusal_that_says_too_little_is_named_with_the_setting():
    whole = {"image_id": "a", "region": 1, "reason": "no class", "final": False}
    assert refusal_of({**whole, "seen_by": "nobody"}).name == ("a", 1)
    with pytest.raises(
        RayALError, match=r"label.annotator: .*'region': 1.*\['final'\] are missing"
    ):
        refusal_of({key: value for key, value in whole.items() if key != "final"})

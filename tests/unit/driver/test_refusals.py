"""A run stops where many masks share a fault."""

from types import SimpleNamespace

import pytest

from ray_al.core.errors import RayALError
from ray_al.driver.refusals import check_usable


def reason(number):
    return (
        f"/data/masks/{number}.png: id 3 on {number + 7} pixels is no class (0 to 2); "
        f"the ids are {number}; mask_values: {{...}}"
    )


def check(*, new, table=5, earlier=0, queried=40, words=reason):
    """Label a query of which `new` regions are refused, after `earlier` ones."""
    query = SimpleNamespace(cycle=1, num_regions=queried, answered=3)
    refusal = [SimpleNamespace(reason=words(number)) for number in range(earlier)]
    state = SimpleNamespace(queries=(query,), refused=tuple(refusal))
    refused = tuple(SimpleNamespace(reason=words(number)) for number in range(new))
    check_usable(state, SimpleNamespace(refused=refused, table=[None] * table))


def test_a_few_bad_masks_are_refused_one_by_one():
    check(new=8)
    check(new=1, table=0)
    check(new=9, earlier=3, queried=100)


def test_many_regions_refused_for_one_reason_stop_the_run():
    with pytest.raises(RayALError, match=r"cycle 2: 10 of the 40 regions .*same kind.*id 3 on 7"):
        check(new=10)
    with pytest.raises(RayALError, match=r"12 of the 40 regions"):
        check(new=4, earlier=8)


def test_many_reasons_of_different_kinds_do_not():
    check(new=20, words=lambda number: f"/m.png: is bad in its {'x' * number} way")


def test_no_usable_mask_stops_the_run():
    with pytest.raises(RayALError, match="not one of the 2 queried regions"):
        check(new=2, table=0)

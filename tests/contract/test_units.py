"""Every budget unit passes one suite, a user's own too."""

from dataclasses import asdict
from typing import Any, ClassVar

import pytest
import yaml
from helpers.own_variants import own

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.labels import LABELS, LabelKind
from ray_al.core.families.units import UNITS, Received, Unit
from ray_al.core.types import PoolSizes

POOL = PoolSizes(num_regions=40, num_pixels=5000, num_images=10)


class Seconds(Unit):
    """A user's own: a time for each region, and one for each click, which nobody knows before."""

    region: int = 3
    shows_late: ClassVar[bool] = True

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        return self.region + label.most_clicks(num_pixels, num_classes)

    def cost(self, received: Received) -> int:
        return received.clicks


OWN = f"{__name__}:Seconds"
every_unit = pytest.mark.parametrize("kind", [*UNITS.kinds, OWN, *own("budget.unit")])


def unit_of(kind: Any) -> Unit:
    return parse_config(
        {"budget": {"unit": kind, "start": 2, "per_cycle": 2, "amount": 9}}, source="t"
    ).budget.unit


@every_unit
def test_a_word_stands_for_the_kind_with_its_defaults(kind):
    assert unit_of(kind) == unit_of({"kind": kind})
    config = parse_config(
        {"budget": {"unit": kind, "start": 2, "per_cycle": 2, "amount": 9}}, source="t"
    )
    written = yaml.safe_load(config.to_yaml())
    settings = config.budget.unit.model_dump(mode="json")
    assert written["budget"]["unit"] == (kind if set(settings) == {"kind"} else settings)
    assert parse_config(written, source="t") == config


@every_unit
def test_larger_regions_never_cost_less(kind):
    unit = unit_of(kind)
    for label in (LABELS.parse({"kind": name}) for name in LABELS.kinds):
        costs = [unit.most(size, label, 5) for size in (1, 2, 10, 300)]
        assert all(isinstance(cost, int) and cost >= 1 for cost in costs)
        assert costs == sorted(costs)
        assert unit.bounds((2, 300), label, 5) == (costs[1], costs[3])
        least, most = unit.bounds(None, label, 5)
        assert least <= most and most >= costs[3]


@every_unit
def test_what_labels_cost_in_the_end_was_reserved(kind):
    cost = unit_of(kind).cost(Received(reserved=9, clicks=7, num_opened=2))
    assert isinstance(cost, int) and 0 <= cost <= 9


@every_unit
def test_it_says_what_a_share_is_of(kind):
    unit = unit_of(kind)
    assert unit.of_pool(POOL) in (*asdict(POOL).values(), None)
    assert f"num_{unit.share_by}" in asdict(POOL)
    assert unit.shows_late == (unit.of_pool(POOL) is None)
    assert unit.name == kind.split(":")[-1]


def test_settings_are_written_beside_the_kind():
    assert yaml.safe_load(parse_config({"budget": {"unit": OWN}}, source="t").to_yaml())["budget"][
        "unit"
    ] == {"kind": OWN, "region": 3}


def test_an_unknown_word_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"budget\.unit.*did you mean 'clicks'"):
        unit_of("click")
    with pytest.raises(ConfigError, match=r"unknown key 'budget\.unit\.region'"):
        unit_of({"kind": "regions", "region": 3})

"""Ranking ahead: the query of a pool that is read at each wider look, with fewer reads."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_al.core.families.batch import BATCH_RULES, Moment
from ray_al.core.types import SCORE_SCHEMA
from ray_al.select import fill
from ray_al.select.basket import Basket

RULES = ("topk", "power", "softmax")


@dataclass
class Pool:
    """Scores in parts, which counts how often they are read."""

    tables: list[pa.Table]
    typical_cost: int = 1
    moment: Moment = field(default_factory=lambda: Moment(seed=3, cycle=1))
    reads: int = 0

    def parts(self):
        self.reads += 1
        return iter(self.tables)


def drawn(seed, num_images, *, regions=6):
    """A pool of two parts, with many equal scores and regions of many sizes."""
    random = np.random.default_rng(seed)
    image, region = np.divmod(np.arange(regions * num_images), regions)
    columns = (
        image,
        [f"i{one:05d}" for one in image.tolist()],
        region,
        random.integers(0, 9, len(image)) / 8,
        random.integers(1, 9, len(image)),
    )
    arrays = [
        pa.array(column).cast(kind.type) for column, kind in zip(columns, SCORE_SCHEMA, strict=True)
    ]
    table = pa.table(arrays, schema=SCORE_SCHEMA)
    return Pool([table.slice(0, len(table) // 3), table.slice(len(table) // 3)])


def basket_of(amount, *, by_size=True, fixed=True, **filters):
    def costs(table):
        sizes = table.column("num_pixels").to_numpy().copy()
        return sizes if by_size else np.ones_like(sizes)

    return Basket(amount, costs_of=costs, boxes_of=boxes_of, is_order_fixed=fixed, **filters)


def boxes_of(image, regions):
    """Regions beside each other, each 10 pixels wide."""
    left = 10 * np.asarray(regions)
    return np.stack([np.zeros_like(left), left, np.full_like(left, 10), left + 10], axis=1)


def queries(rule, seed, num_images, amount, **options):
    """The queries with and without ranking ahead, and how often each has read the pool."""
    found = []
    for fixed in (True, False):
        pool, basket = drawn(seed, num_images), basket_of(amount, fixed=fixed, **options)
        BATCH_RULES.parse({"kind": rule}).fill(basket, pool)
        found.append((basket.query().to_pylist(), pool.reads))
    return found


@given(
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 99),
    num_images=st.integers(1, 60),
    amount=st.integers(1, 300),
    by_size=st.booleans(),
    per_image=st.none() | st.integers(1, 3),
    min_distance=st.none() | st.sampled_from([15.0, 25.0]),
    skips=st.booleans(),
    ahead=st.sampled_from([0, 3, 1 << 14]),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_a_query_does_not_depend_on_ranking_ahead(
    rule, seed, num_images, amount, by_size, per_image, min_distance, skips, ahead
):
    skip = (lambda image, region: (image + region) % 3 == 0) if skips else None
    options = {"by_size": by_size, "per_image": per_image, "min_distance": min_distance}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill, "AHEAD_ROWS", ahead)
        (ours, reads), (plain, plain_reads) = queries(
            rule, seed, num_images, amount, skip=skip, **options
        )
    assert ours == plain
    assert reads <= plain_reads


def test_filters_no_longer_make_a_rule_read_the_pool_again():
    (_, reads), (_, plain_reads) = queries("topk", 0, 300, 250, by_size=False, per_image=1)
    assert (reads, plain_reads) == (1, 2)


def test_images_that_become_free_are_found_by_reading_again():
    """A region that cost too much may go in once another one of its image is paid."""
    pool, opened = drawn(0, 300), np.zeros(300, dtype=bool)
    basket = basket_of(250, by_size=False, per_image=1, opened=opened)
    assert not basket.only_narrows
    BATCH_RULES.parse({"kind": "topk"}).fill(basket, pool)
    assert pool.reads > 1

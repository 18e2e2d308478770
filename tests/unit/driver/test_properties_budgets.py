"""Properties of budgets, and of everything else that is limited by a number."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_al.core.config import BudgetConfig
from ray_al.core.types import QUERY_SCHEMA, PoolSizes
from ray_al.driver.budget import planned_amount
from ray_al.features.plan import plan_store
from ray_al.select.basket import Basket
from ray_al.train.order import batch_indices
from ray_al.train.targets import share_out

FEW = settings(max_examples=40, deadline=None, derandomize=True)
POOL = PoolSizes(num_images=100, num_regions=2000, num_pixels=800_000)
shares = st.integers(1, 40).map(lambda permille: permille / 1000)
counts = st.integers(1, 80)
amounts = st.one_of(shares, counts)


@given(
    start=amounts,
    per_cycle=st.one_of(amounts, st.lists(amounts, min_size=1, max_size=3).map(tuple)),
    amount=st.integers(80, 300),
)
@FEW
def test_queries_spend_the_whole_budget_and_no_more(start, per_cycle, amount):
    budget = BudgetConfig(start=start, per_cycle=per_cycle, amount=amount)
    remaining, cycle = amount, -1
    while remaining:
        size = planned_amount(budget, POOL, cycle, remaining)
        assert 1 <= size <= remaining
        remaining -= size
        cycle += 1
    assert planned_amount(budget, POOL, cycle, 0) == 0


def no_boxes(image: int, regions: np.ndarray) -> np.ndarray:
    raise AssertionError("distances are not limited")


def ranked_table(names: list[tuple[int, int]]) -> pa.Table:
    """Regions, best first."""
    rows = [
        {"image_index": image, "image_id": str(image), "region": region, "score": -float(place)}
        for place, (image, region) in enumerate(names)
    ]
    columns = [field for field in QUERY_SCHEMA if field.name not in ("rank", "cost")]
    rows = [{**row, "num_pixels": 1, "reason": "made up"} for row in rows]
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))


@given(
    names=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=25, unique=True),
    amount=st.integers(0, 60),
    per_image=st.one_of(st.none(), st.integers(1, 3)),
    limit=st.one_of(st.none(), st.integers(0, 10)),
    cuts=st.lists(st.integers(0, 25), max_size=3).map(sorted),
    data=st.data(),
)
@FEW
def test_a_basket_takes_what_a_slow_loop_takes(names, amount, per_image, limit, cuts, data):
    prices = {name: data.draw(st.integers(0, 20)) for name in names}

    def costs_of(table: pa.Table) -> np.ndarray:
        images, regions = (table.column(name).to_pylist() for name in ("image_index", "region"))
        return np.array([prices[name] for name in zip(images, regions, strict=True)], np.int64)

    basket = Basket(amount, costs_of=costs_of, boxes_of=no_boxes, per_image=per_image, limit=limit)
    for start, stop in zip([0, *cuts], [*cuts, len(names)], strict=True):
        basket.offer(ranked_table(names[start:stop]))

    left = amount
    taken: list[tuple[int, int]] = []
    for image, region in names:
        price = prices[image, region]
        num_of_image = sum(other == image for other, _ in taken)
        has_room = per_image is None or num_of_image < per_image
        if left > 0 and len(taken) != limit and price <= left and has_room:
            taken.append((image, region))
            left -= price
    query = basket.query()
    images, regions = (query.column(name).to_pylist() for name in ("image_index", "region"))
    assert list(zip(images, regions, strict=True)) == taken
    assert basket.amount_left == left >= 0
    assert sum(query.column("cost").to_pylist()) == amount - left
    assert query.column("rank").to_pylist() == list(range(len(taken)))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=12), st.integers(1, 30_000))
@FEW
def test_pixels_are_shared_out_up_to_a_limit_and_to_no_image_more_than_it_has(numbers, limit):
    labelled = np.array(numbers)
    given_out = share_out(labelled, limit)
    assert (given_out >= 0).all() and (given_out <= labelled).all()
    assert given_out.sum() == min(limit, labelled.sum())


@given(
    limit_bytes=st.integers(0, 5000),
    num_images=st.integers(0, 50),
    shard_size=st.integers(1, 8),
    record_bytes=st.integers(1, 40),
    needed=st.sets(st.integers(0, 3), min_size=1),
    trained=st.sets(st.integers(0, 3)),
)
@FEW
def test_a_store_plan_keeps_within_its_limit_in_whole_shards(
    limit_bytes, num_images, shard_size, record_bytes, needed, trained
):
    plan = plan_store(
        limit_bytes=limit_bytes,
        num_images=num_images,
        shard_size=shard_size,
        record_bytes=record_bytes,
        needed=sorted(needed),
        trained=sorted(trained),
    )
    assert plan.num_bytes == len(plan.views) * plan.num_images * record_bytes <= limit_bytes
    assert set(plan.views) in (needed, needed | trained)
    assert plan.num_images in (num_images, plan.num_shards * shard_size)
    if len(needed | trained) * num_images * record_bytes <= limit_bytes:
        assert (set(plan.views), plan.num_images) == (needed | trained, num_images)


@given(num_images=st.integers(1, 9), batch_size=st.integers(1, 12), cycle=st.integers(0, 3))
@FEW
def test_batches_are_full_and_each_epoch_has_each_image_once(num_images, batch_size, cycle):
    images = list(range(100, 100 + num_images))
    batches = [batch_indices(images, 7, cycle, step, batch_size) for step in range(2 * num_images)]
    assert all(len(batch) == batch_size for batch in batches)
    order = [image for batch in batches for image in batch]
    epochs = [order[start : start + num_images] for start in range(0, len(order), num_images)]
    assert all(sorted(epoch) == images for epoch in epochs)

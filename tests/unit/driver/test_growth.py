"""The driver's work per cycle does not grow with earlier cycles, nor needlessly with the pool."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from helpers.records import FILE, cycle_trained, member_trained

from ray_al.core.arrays import is_among
from ray_al.core.config import parse_config
from ray_al.core.types import SCORE_SCHEMA
from ray_al.driver.actions.train import drop_old_checkpoints
from ray_al.ledger import State
from ray_al.select.basket import Basket
from ray_al.select.fill import fill_in_order
from ray_al.select.merge import merge_topk


def test_a_long_list_is_searched_not_sorted_anew():
    random = np.random.default_rng(0)
    for size in (0, 1, 50):
        ascending = np.unique(random.integers(0, 60, size))
        values = random.integers(-5, 70, 200)
        assert np.array_equal(is_among(values, ascending), np.isin(values, ascending))


def test_old_checkpoints_are_removed_once():
    removed: list[Any] = []
    context = SimpleNamespace(
        storage=SimpleNamespace(remove=removed.append),
        config=parse_config({"cluster": {"keep_checkpoints": 3}}, source="test"),
    )
    trained, members = {}, {}
    for cycle in range(100):
        files = {name: {**FILE, "path": f"{cycle}/{name}"} for name in ("model.pt", "preview.npz")}
        trained[cycle] = cycle_trained(cycle, files=files)
        of_member = {"model.pt": {**FILE, "path": f"{cycle}/1/model.pt"}}
        members[cycle] = {1: member_trained(cycle, files=of_member)}
        context.state = State(trained=trained, members=members)
        drop_old_checkpoints(context, cycle)
    assert set(removed) == {
        f"{cycle}/{name}" for cycle in range(97) for name in ("model.pt", "1/model.pt")
    }
    assert len(removed) <= 2 * len(set(removed))


def test_a_query_asks_for_its_own_size_whatever_the_size_of_the_pool():
    """Passes and rows grow with the query, not with the pool.

    Regions have many sizes, and a few images hold all the best of them.
    """
    random = np.random.default_rng(0)
    asked: dict[Any, Any] = {}
    for num_images in (200, 2_000):
        image, region = np.divmod(np.arange(20 * num_images), 20)
        scores = random.random(len(image)) + (image < 20)
        columns = (
            image,
            [f"{one:06d}" for one in image.tolist()],
            region,
            scores,
            random.integers(100, 900, len(image)),
        )
        table = pa.table(
            [
                pa.array(column).cast(field.type)
                for column, field in zip(columns, SCORE_SCHEMA, strict=True)
            ],
            schema=SCORE_SCHEMA,
        )
        table = table.append_column("key", table.column("score").cast(pa.float64()))
        numbers = asked[num_images] = []

        def order(k, allows, table=table, numbers=numbers):
            numbers.append(k)
            best = merge_topk([table.filter(pa.array(allows(table)))], k)
            return best.append_column("reason", pa.array(["topk"] * len(best), pa.string()))

        basket = Basket(
            100 * 500,
            costs_of=lambda rows: rows.column("num_pixels").to_numpy().copy(),
            boxes_of=lambda image, regions: regions,
            per_image=2,
        )
        fill_in_order(basket, order, typical_cost=500)
        assert 0 <= basket.amount_left < 100
        assert len(basket.query()) > 90
    assert all(sum(numbers) <= 600 and len(numbers) <= 8 for numbers in asked.values()), asked

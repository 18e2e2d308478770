from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.scored_parts import names, ranked

from ray_al.core.errors import RayALError
from ray_al.core.types import SCORE_SCHEMA
from ray_al.select.basket import Basket


def take_within(
    ranked, *, amount, costs, centre_of=lambda image, region: (0.0, 0.0), opened=None, **options
):
    """What a basket takes of one ranking; `costs` are those of its rows."""
    by_name = dict(zip(names(ranked), costs, strict=True))

    def boxes_of(image, regions):
        return np.array(
            [[y, x, y, x] for y, x in (centre_of(image, region) for region in regions.tolist())],
            dtype=np.float64,
        ).reshape(-1, 4)

    if opened is not None:
        opened = np.isin(np.arange(1000), list(opened))
    basket = Basket(
        amount,
        costs_of=lambda table: np.array([by_name[name] for name in names(table)]),
        boxes_of=boxes_of,
        opened=opened,
        **options,
    )
    basket.offer(ranked)
    return basket.query()


def pool(scores):
    rows = [
        {
            "image_index": i // 4,
            "image_id": f"i{i // 4:03d}",
            "region": i % 4,
            "score": score,
            "num_pixels": 10 + i % 4,
        }
        for i, score in enumerate(scores)
    ]
    return pa.Table.from_pylist(rows, schema=SCORE_SCHEMA)


@pytest.mark.parametrize("kind", ["topk", "power"])
@pytest.mark.parametrize("shard", [4, 12, 40, 400])
def test_the_same_choice_for_any_shards(kind, shard):
    scores = np.random.default_rng(0).integers(1, 20, 400) / 20  # many ties
    whole = pool(scores)
    parts = [whole.slice(i, shard) for i in range(0, 400, shard)]
    assert names(ranked(parts[::-1], 37, kind=kind)) == names(ranked([whole], 37, kind=kind))


def test_topk_against_a_full_sort():
    scores = np.random.default_rng(1).integers(1, 9, 100).astype(float)
    expected = sorted(range(100), key=lambda i: (-scores[i], i))[:10]
    assert names(ranked([pool(scores)], 10)) == [(f"i{i // 4:03d}", i % 4) for i in expected]


def test_a_sharp_power_is_topk():
    scores = np.random.default_rng(2).permutation(np.arange(1.0, 101.0))
    assert names(ranked([pool(scores)], 10, kind="power", beta=1e6)) == names(
        ranked([pool(scores)], 10)
    )


def test_power_draws_in_proportion_to_the_score():
    table = pool([1.0, 2.0, 3.0, 4.0])
    counts = np.zeros(4)
    for cycle in range(1000):
        best = ranked([table], 1, seed=0, cycle=cycle, kind="power")
        counts[best["region"][0].as_py()] += 1
    assert np.abs(counts / 1000 - np.array([0.1, 0.2, 0.3, 0.4])).max() < 0.03


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(RayALError, match="not numbers"):
        ranked([pool([float("nan"), 1.0])], 1)


def test_a_budget_in_pixels_takes_what_fits():
    table = ranked([pool([4.0, 3.0, 2.0, 1.0])], 4)
    query = take_within(table, amount=24, costs=table["num_pixels"].to_numpy())
    assert query["cost"].to_pylist() == [10, 11]
    assert query["rank"].to_pylist() == [0, 1]
    skipped = take_within(
        table, amount=1, costs=np.ones(4, int), skip=lambda image, region: region == 0
    )
    assert skipped["region"].to_pylist() == [1]


@pytest.mark.parametrize("k", [0, 1, 37, 1000])
def test_merging_in_between_changes_nothing(monkeypatch, k):
    monkeypatch.setattr("ray_al.select.merge.SPARE_ROWS", 5)
    scores = np.random.default_rng(3).integers(1, 9, 400) / 8  # many ties
    expected = sorted(range(400), key=lambda i: (-scores[i], i))[:k]
    whole = pool(scores)
    got = ranked([whole.slice(i, 3) for i in range(0, 400, 3)][::-1], k)
    assert names(got) == [(f"i{i // 4:03d}", i % 4) for i in expected]
    assert got["reason"].to_pylist() == ["topk"] * len(expected)


def slow_take(table, amount, unit, per_image=None, min_distance=None, centre_of=None):
    left = amount
    rows: list[Any] = []
    for row in table.to_pylist():
        cost = 1 if unit == "regions" else row["num_pixels"]
        same = [other for other in rows if other["image_index"] == row["image_index"]]
        far = all(
            min_distance is None
            or np.hypot(
                *np.subtract(
                    centre_of(row["image_index"], row["region"]),
                    centre_of(other["image_index"], other["region"]),
                )
            )
            >= min_distance
            for other in same
        )
        if cost <= left and far and (per_image is None or len(same) < per_image):
            rows.append(row)
            left -= cost
    return [(row["image_id"], row["region"]) for row in rows]


def costs_of(table, unit="regions"):
    return np.ones(len(table), int) if unit == "regions" else table["num_pixels"].to_numpy()


def test_an_image_is_paid_once():
    table = ranked([pool([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])], 8)
    query = take_within(table, amount=2, costs=costs_of(table), opened=set())
    assert names(query) == [*(("i000", region) for region in range(4)), ("i001", 0)]
    assert query["cost"].to_pylist() == [1, 0, 0, 0, 1]
    assert take_within(table, amount=2, costs=costs_of(table), opened={0})["cost"].to_pylist() == [
        0,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("unit", ["regions", "pixels"])
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"per_image": 1},
        {"per_image": 0},
        {"per_image": 3, "min_distance": 10.0},
        {"min_distance": 10.1},
    ],
)
def test_regions_of_one_image_are_few_and_far_apart(unit, limits):
    scores = np.random.default_rng(4).random(80)
    table = ranked([pool(scores)], 80)

    def centre_of(index, region):  # 2 x 2 cells of 10 pixels
        return 5.0 + 10 * (region // 2), 5.0 + 10 * (region % 2)

    for amount in (0, 1, 9, 33, 200, 10_000):
        query = take_within(
            table, amount=amount, costs=costs_of(table, unit), centre_of=centre_of, **limits
        )
        assert names(query) == slow_take(table, amount, unit, centre_of=centre_of, **limits)
        assert query["rank"].to_pylist() == list(range(len(query)))
        assert sum(query["cost"].to_pylist()) <= amount


def test_only_what_may_be_taken_is_opened():
    asked = []
    table = ranked([pool([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])], 8)
    query = take_within(
        table,
        amount=3,
        costs=costs_of(table),
        per_image=2,
        skip=lambda image, region: asked.append(region) or region == 1,
    )
    assert names(query) == [("i000", 0), ("i000", 2), ("i001", 0)]
    assert asked == [0, 1, 2, 0]  # not the fourth of an image that is full, nothing past the budget

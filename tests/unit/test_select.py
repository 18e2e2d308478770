import numpy as np
import pyarrow as pa
import pytest

from ray_al.core.config import BatchConfig
from ray_al.core.errors import RayALError
from ray_al.core.types import SCORE_SCHEMA
from ray_al.select import rank
from ray_al.select.budget import take_within


def pool(scores):
    rows = [
        {"image_index": i // 4, "image_id": f"i{i // 4:03d}", "region": i % 4, "score": score, "num_pixels": 10 + i % 4}
        for i, score in enumerate(scores)
    ]
    return pa.Table.from_pylist(rows, schema=SCORE_SCHEMA)


def ranked(parts, k, **batch):
    return rank(parts, k=k, batch=BatchConfig(**batch), seed=1, cycle=2, num_regions_of=lambda index: 4)


def names(table):
    return list(zip(table["image_id"].to_pylist(), table["region"].to_pylist(), strict=True))


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
    assert names(ranked([pool(scores)], 10, kind="power", beta=1e6)) == names(ranked([pool(scores)], 10))


def test_power_draws_in_proportion_to_the_score():
    table = pool([1.0, 2.0, 3.0, 4.0])
    counts = np.zeros(4)
    for cycle in range(4000):
        best = rank([table], k=1, batch=BatchConfig(kind="power"), seed=0, cycle=cycle, num_regions_of=lambda index: 4)
        counts[best["region"][0].as_py()] += 1
    assert np.abs(counts / 4000 - np.array([0.1, 0.2, 0.3, 0.4])).max() < 0.03


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(RayALError, match="not numbers"):
        ranked([pool([float("nan"), 1.0])], 1)


def test_a_budget_in_pixels_takes_what_fits():
    table = ranked([pool([4.0, 3.0, 2.0, 1.0])], 4)
    query = take_within(table, amount=24, unit="pixels")
    assert query["cost"].to_pylist() == [10, 11]
    assert query["rank"].to_pylist() == [0, 1]
    skipped = take_within(table, amount=1, unit="regions", skip=lambda row: row["region"] == 0)
    assert skipped["region"].to_pylist() == [1]

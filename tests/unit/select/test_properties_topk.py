"""The merged top-k is that of one sort, however the rows come in parts."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ray_al.select import merge
from ray_al.select.merge import KEY_SCHEMA, merge_topk

keys = st.one_of(st.sampled_from([0.0, 0.5, 1.0, float("-inf")]), st.floats(-2, 2))
names = st.tuples(st.integers(0, 9), st.integers(0, 5))


def table_of(rows: list[tuple[tuple[int, int], float]]) -> pa.Table:
    values = [
        {
            "image_index": 9 - image,
            "image_id": f"image{image}",
            "region": region,
            "score": 0.0,
            "num_pixels": 1,
            "key": key,
        }
        for (image, region), key in rows
    ]
    return pa.Table.from_pylist(values, schema=KEY_SCHEMA)


@pytest.mark.parametrize("spare", [0, 1 << 18], ids=["merging early", "merging late"])
@given(
    rows=st.dictionaries(names, keys, max_size=30).map(lambda found: list(found.items())),
    k=st.integers(0, 12),
    cuts=st.lists(st.integers(0, 30), max_size=4).map(sorted),
    data=st.data(),
)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_parts_in_any_order_give_the_first_rows_of_one_sort(
    monkeypatch, spare, rows, k, cuts, data
):
    monkeypatch.setattr(merge, "SPARE_ROWS", spare)
    shuffled = data.draw(st.permutations(rows))
    bounds = zip([0, *cuts], [*cuts, len(rows)], strict=True)
    parts = [table_of(shuffled[start:stop]) for start, stop in bounds]
    expected = sorted(rows, key=lambda row: (-row[1], f"image{row[0][0]}", row[0][1]))[:k]
    merged = merge_topk(data.draw(st.permutations(parts)), k)
    assert merged.to_pylist() == table_of(expected).to_pylist()
    halves = [merge_topk(parts[:2], k), merge_topk(parts[2:], k)]
    assert merge_topk(halves, k).to_pylist() == merged.to_pylist()

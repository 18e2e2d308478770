"""Classes take turns as in a slow reference, for any split into parts and after a cut."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.scored_parts import names

from ray_al.core.types import SCORE_SCHEMA
from ray_al.scoring.class_stats import predicted_shares
from ray_al.scoring.shards import CLASS_COUNTS
from ray_al.select import stratified
from ray_al.select.stratified import strata_of, take_turns

SHARES = np.array([0.5, 0.1, 0.0, 0.3, 0.1])


def drawn(num=300, seed=0, decimals=1):
    """Rows in order of names; scores of one decimal, so that many are the same."""
    random = np.random.default_rng(seed)
    rows = [
        {
            "image_index": i // 6,
            "image_id": f"i{i // 6:03d}",
            "region": i % 6,
            "score": score,
            "num_pixels": 9,
        }
        for i, score in enumerate(np.round(random.random(num), decimals))
    ]
    covers = random.dirichlet([2, 0.4, 0.01, 1, 0.3], num).astype(np.float32)
    table = pa.Table.from_pylist(rows, schema=SCORE_SCHEMA)
    return table.append_column(
        "covers", pa.FixedSizeListArray.from_arrays(pa.array(covers.ravel()), 5)
    )


def among(chosen):
    """rows -> whether they are among the chosen names."""
    return lambda table: np.array([name in chosen for name in names(table)], dtype=bool)


def turns(parts, k, *, taken=(), barred=(), min_cover=0.25):
    no = {*taken, *barred}
    return names(
        take_turns(
            parts,
            k=k,
            shares=SHARES,
            min_cover=min_cover,
            is_taken=among(set(taken)),
            allows=lambda table: ~among(no)(table),
        )
    )


def slow_stratum(covers, min_cover):
    rare_first = sorted(range(len(SHARES)), key=lambda c: (SHARES[c], c))
    covering = [c for c in rare_first if covers[c] >= min_cover - 1e-5]
    return covering[0] if covering else int(np.argmax(covers))


def slow_turns(table, k, *, taken=(), barred=(), min_cover=0.25):
    rows = [(slow_stratum(row["covers"], min_cover), row) for row in table.to_pylist()]
    count = {
        c: sum(stratum == c and (row["image_id"], row["region"]) in taken for stratum, row in rows)
        for c in range(5)
    }
    left = {
        c: sorted(
            (-row["score"], row["image_id"], row["region"])
            for stratum, row in rows
            if stratum == c and (row["image_id"], row["region"]) not in {*taken, *barred}
        )
        for c in range(5)
    }
    chosen: list[Any] = []
    while len(chosen) < k and any(left.values()):
        turn = min((c for c in range(5) if left[c]), key=lambda c: (count[c], SHARES[c], c))
        chosen.append(left[turn].pop(0)[1:])
        count[turn] += 1
    return chosen


@pytest.mark.parametrize("min_cover", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("k", [1, 4, 60, 300, 500])
def test_turns_are_those_of_the_slow_reference(k, min_cover):
    table = drawn()
    found = turns([table], k, min_cover=min_cover)
    assert found == slow_turns(table, k, min_cover=min_cover)
    assert len(found) == len(set(found)) == min(k, 300)


@pytest.mark.parametrize("size", [1, 7, 299])
@pytest.mark.parametrize("k", [3, 50])
def test_any_split_into_parts_gives_the_same(monkeypatch, k, size):
    """... however seldom the rows that are kept are sorted."""
    table = drawn(seed=1)
    expected = slow_turns(table, k)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    for spare in (0, 20, 1 << 18):
        monkeypatch.setattr(stratified, "SPARE_ROWS", spare)
        parts = [shuffled.slice(start, size) for start in range(0, len(table), size)]
        assert turns(iter(parts), k) == expected


def test_a_longer_answer_begins_with_a_shorter_and_can_be_carried_on():
    table = drawn(seed=2)
    whole = turns([table], 80)
    for k in (1, 5, 33):
        assert turns([table], k) == whole[:k]
        assert turns([table], 80 - k, taken=whole[:k]) == whole[k:]


def test_what_filters_bar_is_made_up_for_by_the_same_class():
    table = drawn(seed=3)
    barred = turns([table], 12)[::2]
    assert turns([table], 40, barred=barred) == slow_turns(table, 40, barred=barred)


def test_memory_is_bounded_by_the_best_of_each_class(monkeypatch):
    """At most k rows of each class, what came since they were last sorted, and a part."""
    monkeypatch.setattr(stratified, "SPARE_ROWS", 10)
    most = 0
    add = stratified._BestOfEach.add

    def watched(self, part):
        nonlocal most
        add(self, part)
        most = max(most, self._num_rows)

    monkeypatch.setattr(stratified._BestOfEach, "add", watched)
    turns((drawn(60, seed=seed) for seed in range(40)), 3)
    assert most <= 2 * 3 * 5 + 10


def test_no_part_and_no_row_give_nothing():
    assert turns([], 5) == turns([drawn().slice(0, 0)], 5) == turns([drawn()], 0) == []


def test_a_region_stands_for_its_rarest_class_that_covers_enough():
    covers = np.array(
        [
            [0.75, 0.25, 0, 0, 0],  # a quarter is enough
            [0.76, 0.24, 0, 0, 0],  # a little less is not
            [0.5, 0, 0, 0.5, 0],
            [0, 0.5, 0, 0, 0.5],  # as rare: the lower number
            [0.2, 0.2, 0.2, 0.22, 0.18],  # none covers enough: the largest
            [0.7, 0, 0.3, 0, 0],
            [0.750001, 0.249999, 0, 0, 0],  # a sum in float32
        ],
        dtype=np.float32,
    )
    assert strata_of(covers, SHARES, 0.25).tolist() == [1, 0, 3, 1, 3, 2, 1]


def test_shares_are_counted_over_all_parts():
    def schema(*counts):
        return SCORE_SCHEMA.with_metadata({CLASS_COUNTS: np.array(counts, dtype="<i8").tobytes()})

    assert predicted_shares([schema(1, 2, 0), SCORE_SCHEMA, schema(3, 0, 2)], 3).tolist() == [
        0.5,
        0.25,
        0.25,
    ]
    assert predicted_shares([], 2).tolist() == [0, 0]

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.scored_parts import names

from ray_al.core.seeding import seed_of, uniform_of
from ray_al.core.types import MANIFEST_SCHEMA, SEED_CYCLE, START_CYCLE
from ray_al.regions.grid import Grid
from ray_al.select.start import equal_per_image, random_start

GRID = Grid(rows=2, columns=3)


def manifest(num_images):
    rows = [
        {
            "image_index": i,
            "image_id": f"i{i:02d}",
            "uri": "u",
            "mask_uri": None,
            "height": 0 if i % 7 == 3 else 20 + i % 3,
            "width": 0 if i % 7 == 3 else 31,
            "num_regions": 0 if i % 7 == 3 else 6,
        }
        for i in range(num_images)
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)


def remaining(table, share=0.7):
    return np.random.default_rng(0).random(sum(table["num_regions"].to_pylist())) < share


def slow(table, left, key_of):
    """Names by key, found a region at a time."""
    offset = 0
    keys: dict[Any, Any] = {}
    for row in table.to_pylist():
        open_regions = [region for region in range(row["num_regions"]) if left[offset + region]]
        offset += row["num_regions"]
        keys |= {
            (row["image_id"], region): key_of(
                row["image_id"], row["num_regions"], open_regions, region
            )
            for region in open_regions
        }
    return sorted(keys, key=lambda name: (-keys[name], name))


def key_in_rounds(image_id, count, open_regions, region):
    within, between = (
        uniform_of(seed_of("equal per image", 5, START_CYCLE, image_id), np.arange(2 * count))
        .reshape(count, 2)
        .T
    )
    return between[region] - sum(within[other] > within[region] for other in open_regions)


def key_at_random(image_id, count, open_regions, region):
    return uniform_of(seed_of("start set", 5, START_CYCLE, image_id), np.arange(count))[region]


@pytest.mark.parametrize("per_part", [1, 3, 4096])
def test_rankings_against_one_region_at_a_time(monkeypatch, per_part):
    monkeypatch.setattr("ray_al.select.start.IMAGES_PER_PART", per_part)
    table = manifest(20)
    left = remaining(table)
    options = {"k": 50, "seed": 5, "cycle": START_CYCLE, "remaining": left}
    got = random_start(table, GRID, **options)
    assert names(got) == slow(table, left, key_at_random)[:50]
    assert names(equal_per_image(table, GRID, **options)) == slow(table, left, key_in_rounds)[:50]
    for row in got.to_pylist():
        assert (
            row["num_pixels"]
            == GRID.of_image(20 + row["image_index"] % 3, 31).box(row["region"]).num_pixels
        )
        assert row["image_id"] == f"i{row['image_index']:02d}" and row["reason"] == "random start"


def test_every_image_gives_one_before_any_gives_two():
    table = manifest(20)
    num_images = sum(count > 0 for count in table["num_regions"].to_pylist())
    got = names(
        equal_per_image(
            table,
            GRID,
            k=1000,
            seed=3,
            cycle=START_CYCLE,
            remaining=np.ones(6 * num_images, dtype=bool),
        )
    )
    for i in range(6):
        assert len({image for image, _ in got[i * num_images : (i + 1) * num_images]}) == num_images
    assert len(set(got)) == 6 * num_images
    assert got[:num_images] != sorted(got[:num_images])


def test_an_image_with_few_regions_is_not_last():
    sizes = [1] * 200 + [6] * 200
    rows = [
        {
            "image_index": i,
            "image_id": f"{i:03d}",
            "uri": "u",
            "mask_uri": None,
            "height": 20,
            "width": 31,
            "num_regions": 6,
        }
        for i in range(400)
    ]
    table = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)
    left = np.concatenate([np.arange(6) < size for size in sizes])
    first = equal_per_image(table, GRID, k=200, seed=1, cycle=START_CYCLE, remaining=left)
    assert 70 < sum(index < 200 for index in first["image_index"].to_pylist()) < 130


@pytest.mark.parametrize("start", [random_start, equal_per_image])
def test_nothing_left_gives_nothing(start):
    table = manifest(5)
    options = {"seed": 0, "cycle": START_CYCLE}
    assert len(start(table, GRID, k=3, remaining=remaining(table, 0.0), **options)) == 0
    assert len(start(table, GRID, k=0, remaining=remaining(table), **options)) == 0


@pytest.mark.parametrize("start", [random_start, equal_per_image])
def test_seeds_and_the_two_parts_of_a_start_set_have_draws_of_their_own(start):
    table = manifest(20)
    keys = [(0, START_CYCLE), (1, START_CYCLE), (0, SEED_CYCLE)]
    found = [
        names(start(table, GRID, k=9, seed=seed, cycle=cycle, remaining=remaining(table)))
        for seed, cycle in keys
    ]
    assert len({tuple(one) for one in found}) == 3

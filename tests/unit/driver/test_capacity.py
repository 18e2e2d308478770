import numpy as np
import pyarrow as pa
import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.types import MANIFEST_SCHEMA, PoolSizes
from ray_al.driver.budget import check_budget
from ray_al.driver.capacity import _spread


def check(num_images=8, shapes=((96, 128),), num_classes=4, **values):
    config = parse_config({"regions": {"rows": 2, "columns": 2}, **values}, source="test")
    kind = config.regions
    sizes = [shapes[index % len(shapes)] for index in range(num_images)]
    counts = [kind.num_regions(*size) for size in sizes]
    rows = [
        {
            "image_index": i,
            "image_id": f"i{i}",
            "uri": f"i{i}",
            "mask_uri": None,
            "height": h,
            "width": w,
            "num_regions": count,
        }
        for i, ((h, w), count) in enumerate(zip(sizes, counts, strict=True))
    ]
    pool = PoolSizes(
        num_images=num_images,
        num_regions=sum(counts),
        num_pixels=sum(h * w for h, w in sizes),
    )
    check_budget(config, pool, pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), num_classes)


def budget(size, unit="regions", **changes):
    return {"unit": unit, "start": size, "per_cycle": size, "amount": 3 * size, **changes}


PIXELS = {"kind": "pixels", "per_image": 10, "radius": 3}
WINDOWS = {"kind": "windows", "per_image": 5, "radius": 2}
REFUSED = {
    "points": (
        {"regions": PIXELS, "budget": budget(200)},
        ["budget.start: 200 regions", "regions.per_image=10", "8 images give 80 regions"],
    ),
    "points in pixels": (
        {"regions": PIXELS, "budget": budget(81, "pixels")},
        ["budget.start: 81 pixels", "80 regions"],
    ),
    "points in clicks": (
        {"regions": PIXELS, "budget": budget(81, "clicks"), "label": {"kind": "dominant"}},
        ["budget.start: 81 clicks", "80 regions"],
    ),
    "windows": (
        {"regions": WINDOWS, "budget": budget(1001, "pixels")},
        ["1001 pixels", "regions.per_image=5", "40 regions", "25 pixels each"],
    ),
    "later queries": (
        {"regions": PIXELS, "budget": budget(80, per_cycle=100, amount=200)},
        ["budget.per_cycle: 100 regions", "80 regions", "raise regions.per_image"],
    ),
    "small images": (
        {"shapes": ((8, 8),), "regions": {**PIXELS, "radius": 5}, "budget": budget(40)},
        ["budget.start: 40 regions", "radius=5", "32 regions"],
    ),
    "all points": (
        {
            "shapes": ((8, 8),),
            "num_images": 100,
            "regions": {**PIXELS, "per_image": 4},
            "budget": budget(300, amount=401),
        },
        ["budget.amount: 401 regions", "regions.radius=3", "400 regions"],
    ),
    "per image": (
        {"strategy": {"per_image": 1}, "budget": budget(9, start=1, amount=20)},
        ["budget.per_cycle: 9 regions", "strategy.per_image=1", "8 regions"],
    ),
    "per image, in pixels": (
        {
            "strategy": {"per_image": 1},
            "budget": budget(9 * 3072, "pixels", start=3072, amount=12 * 3072),
        },
        ["budget.per_cycle", "8 regions, of at most 3072 pixels each"],
    ),
    "per image, scored start": (
        {"strategy": {"per_image": 1}, "budget": budget(9, start_rule="scored", per_cycle=1)},
        ["budget.start: 9"],
    ),
    "distance": (
        {"strategy": {"min_distance": 200}, "budget": budget(9, start=1, amount=20)},
        [
            "budget.per_cycle: 9 regions",
            "strategy.min_distance=200",
            "8 regions",
            "lower strategy.min_distance",
        ],
    ),
    "candidates": (
        {"strategy": {"batch": {"kind": "kmeans", "candidates": 3}}, "budget": budget(4)},
        ["strategy.batch.candidates=3", "'kmeans'", "budget.per_cycle", "4 or more"],
    ),
    "ranks": (
        {"strategy": {"batch": {"kind": "softrank", "candidates": 3}}, "budget": budget(4)},
        ["strategy.batch.candidates=3"],
    ),
    "start among candidates": (
        {
            "budget": budget(4, start_rule={"kind": "kcenter", "candidates": 3}, per_cycle=1),
        },
        ["budget.start_rule.candidates=3", "'kcenter'", "budget.start"],
    ),
}
TAKEN = {
    "points": {"regions": PIXELS, "budget": budget(80)},
    "windows": {"regions": WINDOWS, "budget": budget(1000, "pixels")},
    "per image": {
        "strategy": {"per_image": 1},
        "budget": budget(8, start=9, amount=30),
    },  # the start set is drawn without the filter
    "the last query is smaller": {
        "strategy": {"per_image": 1},
        "budget": budget(12, start=10, amount=18),
    },
    "distance": {"strategy": {"min_distance": 80}, "budget": budget(16, start=1, amount=30)},
    "whole images": {"strategy": {"per_image": 1}, "budget": budget(2, "images")},
    "candidates": {"strategy": {"batch": {"kind": "kmeans", "candidates": 4}}, "budget": budget(4)},
    "top scores": {"strategy": {"batch": {"kind": "topk"}}, "budget": budget(4)},
    "superpixels": {
        "regions": {"kind": "superpixels", "count": 50},
        "budget": budget(0.05),
        "strategy": {"per_image": 1},
    },
    "mixed sizes": {"shapes": ((96, 128), (64, 96), (0, 0)), "budget": budget(2000, "pixels")},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_said_before_the_run(name):
    values, words = REFUSED[name]
    with pytest.raises(ConfigError) as error:
        check(**values)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("name", TAKEN)
def test_what_can_be_had_is_taken(name):
    check(**TAKEN[name])


def test_the_bound_on_points_far_apart_holds():
    """Of a hexagonal lattice, the densest there is, and of one point."""
    for height, width, distance in ((96, 128, 10.0), (50, 400, 33.0), (10, 10, 3.0)):
        rows = np.arange(0, height, distance * np.sqrt(3) / 2)
        num = sum(
            int((width - (index % 2) * distance / 2) // distance) + 1 for index in range(len(rows))
        )
        table = pa.table({"height": [height], "width": [width]})
        assert num <= _spread(table, distance)[0] <= 1.6 * num
    assert _spread(pa.table({"height": [30], "width": [40]}), 50.1)[0] == 1

"""Lengths of predicted outlines against sides counted one by one."""

import numpy as np
import pytest
import torch

from ray_al.regions.grid import Grid
from ray_al.scoring.outline import outline_lengths
from ray_al.scoring.pooling import BoxPooler, RegionMapPooler

HEIGHT, WIDTH = 12, 20


def region_map(rows, columns):
    ids = np.empty((HEIGHT, WIDTH), np.int32)
    boxes = Grid(rows=rows, columns=columns).of_image(HEIGHT, WIDTH).boxes
    for region, (top, left, bottom, right) in enumerate(boxes):
        ids[top:bottom, left:right] = region
    return ids


def counted(classes, regions):
    """Count the sides of pixels between classes; each pixel has half of its own."""
    lengths = np.zeros(regions.max() + 1)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for other in ((y + 1, x), (y, x + 1)):
                if other[0] < HEIGHT and other[1] < WIDTH and classes[y, x] != classes[other]:
                    lengths[regions[y, x]] += 0.5
                    lengths[regions[other]] += 0.5
    return lengths


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 4), (3, 5)])
@pytest.mark.parametrize("cell", [1, 2, 4])
def test_sides_are_counted_in_native_pixels(rows, columns, cell):
    rng = np.random.default_rng(cell)
    classes = rng.integers(0, 3, (HEIGHT // cell, WIDTH // cell))
    native = np.kron(classes, np.ones((cell, cell), int))
    regions = region_map(rows, columns)
    boxes = Grid(rows=rows, columns=columns).of_image(HEIGHT, WIDTH).boxes
    for pooler in (BoxPooler(boxes, HEIGHT, WIDTH), RegionMapPooler(regions)):
        found = outline_lengths(torch.from_numpy(classes), pooler, (HEIGHT, WIDTH))
        assert found.sum() == pytest.approx(counted(native, regions).sum(), rel=1e-5)
        if cell == 1:
            assert found == pytest.approx(counted(native, regions), rel=1e-5)


def test_one_class_has_no_outline():
    pooler = RegionMapPooler(region_map(2, 4))
    found = outline_lengths(torch.zeros(3, 5, dtype=torch.int64), pooler, (HEIGHT, WIDTH))
    assert found.tolist() == [0.0] * 8

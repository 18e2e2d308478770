"""Poolers against every native pixel cut into small samples, and worked by hand."""

import numpy as np
import pytest
import torch

from ray_al.core.errors import ConfigError, RayALError
from ray_al.regions.grid import Grid
from ray_al.scoring.pooling import BoxPooler, RegionMapPooler

HEIGHT, WIDTH = 6, 10
GRID = Grid(rows=2, columns=3)
CELLS = [(6, 10), (3, 5), (12, 20), (4, 7), (1, 1), (9, 3)]


def labels_of_grid():
    region_map = np.empty((HEIGHT, WIDTH), np.int32)
    for region, (top, left, bottom, right) in enumerate(GRID.of_image(HEIGHT, WIDTH).boxes):
        region_map[top:bottom, left:right] = region
    return region_map


def ragged_labels():
    region_map = np.random.default_rng(3).integers(0, 5, (HEIGHT, WIDTH)).astype(np.int32)
    region_map[0, :5] = range(5)
    return region_map


def poolers():
    return [
        (BoxPooler(GRID.of_image(HEIGHT, WIDTH).boxes, HEIGHT, WIDTH), labels_of_grid()),
        (RegionMapPooler(labels_of_grid()), labels_of_grid()),
        (RegionMapPooler(ragged_labels()), ragged_labels()),
    ]


def reference_areas(region_map, rows, columns):
    """Return the overlap of each pixel's rectangle with each cell's, as shares of the region.

    The shape is (R, rows, columns); overlaps are added up pixel by pixel.
    """
    areas = np.zeros((region_map.max() + 1, rows, columns))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for i in range(rows):
                for j in range(columns):
                    down = min((y + 1) / HEIGHT, (i + 1) / rows) - max(y / HEIGHT, i / rows)
                    across = min((x + 1) / WIDTH, (j + 1) / columns) - max(x / WIDTH, j / columns)
                    areas[region_map[y, x], i, j] += max(0, down) * max(0, across)
    areas[areas < 1e-12] = 0
    return areas / areas.sum((1, 2), keepdims=True)


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("which", range(3))
def test_all_poolings_equal_the_reference(which, cells):
    pooler, region_map = poolers()[which]
    rng = np.random.default_rng(cells[0])
    values = rng.normal(size=(3, *cells)).astype(np.float32)
    ids = rng.integers(0, 4, cells)
    areas = reference_areas(region_map, *cells)
    tensor = torch.from_numpy(values)
    assert pooler.mean(tensor) == pytest.approx(np.einsum("rhw,chw->rc", areas, values), abs=1e-5)
    assert (
        pooler.mean(tensor).dtype
        == pooler.max(tensor[0]).dtype
        == pooler.top_share(tensor[0], 0.3).dtype
        == np.float32
    )
    for region, area in enumerate(areas):
        assert pooler.max(tensor[0])[region] == values[0][area > 0].max()
        shares = np.bincount(ids.ravel(), area.ravel(), 4)
        assert (
            pooler.dominant(torch.from_numpy(ids), 4)[region]
            == np.flatnonzero(shares > shares.max() - 1e-9)[0]
        )
        for share in (0.05, 0.3, 1.0):
            left, total = share, 0.0
            for value, part in sorted(
                zip(values[0].ravel(), area.ravel(), strict=True), reverse=True
            ):
                total += value * min(part, left)
                left -= min(part, left)
            assert pooler.top_share(tensor[0], share)[region] == pytest.approx(
                total / share, abs=1e-5
            )


def test_labels_of_a_grid_pool_as_its_boxes():
    box, label = poolers()[0][0], poolers()[1][0]
    values = torch.randn(4, 7)
    ids = torch.randint(0, 3, (4, 7))
    assert (box.areas(4, 7) != label.areas(4, 7)).nnz == 0
    assert box.num_pixels.tolist() == label.num_pixels.tolist() == [9, 9, 12, 9, 9, 12]
    for aggregation in ("mean", "sum", "max", "top_share"):
        assert box.pool(values, aggregation, 0.2) == pytest.approx(
            label.pool(values, aggregation, 0.2), abs=1e-5
        )
    assert box.dominant(ids, 3).tolist() == label.dominant(ids, 3).tolist()


def test_worked_by_hand():
    pooler = RegionMapPooler(np.array([[0, 0, 1, 1]], np.int32))
    values = torch.tensor(
        [[1.0, 2.0, 5.0]]
    )  # cells of 4/3 pixels: region 0 is cell 0 and half of cell 1
    assert pooler.mean(values[None])[:, 0].tolist() == pytest.approx([4 / 3, 4])
    assert pooler.pool(values, "sum", 1.0).tolist() == pytest.approx([8 / 3, 8])
    assert pooler.pool(values, "max", 1.0).tolist() == [2, 5]
    assert pooler.pool(values, "top_share", 1 / 3).tolist() == pytest.approx([2, 5])
    assert pooler.pool(values, "top_share", 2 / 3).tolist() == pytest.approx([1.5, 5])
    assert pooler.dominant(torch.tensor([[2, 1, 0]]), 3).tolist() == [2, 0]


def test_dominant_ties_go_to_the_lower_class():
    pooler = BoxPooler(np.array([[0, 0, 3, 3]]), 3, 3)
    ids = torch.tensor([[2, 2, 2], [1, 1, 1], [0, 0, 0]])
    assert pooler.dominant(ids, 3).tolist() == [0]
    assert pooler.dominant(ids, 3).dtype == np.int16


def test_one_pixel():
    for pooler in (
        BoxPooler(np.array([[0, 0, 1, 1]]), 1, 1),
        RegionMapPooler(np.zeros((1, 1), np.int32)),
    ):
        assert [
            pooler.pool(torch.tensor([[3.0]]), name, 0.1).tolist()
            for name in ("mean", "sum", "max", "top_share")
        ] == [[3.0]] * 4


def test_refuses_what_it_cannot_pool():
    with pytest.raises(RayALError, match="2 ids from 0 to 2"):
        RegionMapPooler(np.array([[0, 2]], np.int32))
    with pytest.raises(RayALError, match="from -1 to 0"):
        RegionMapPooler(np.array([[0, -1]], np.int32))
    with pytest.raises(ConfigError, match="'median'"):
        RegionMapPooler(np.zeros((1, 1), np.int32)).pool(torch.zeros(1, 1), "median", 0.1)


@pytest.mark.parametrize("size", [(90, 121), (45, 60)])
def test_grids_of_many_cells_are_pooled_as_any_boxes_are(size):
    boxes = Grid(rows=18, columns=20).of_image(*size).boxes
    values = torch.rand(3, 23, 31)
    grid = BoxPooler(boxes, *size).mean(values)
    few = [BoxPooler(boxes[start : start + 90], *size).mean(values) for start in range(0, 360, 90)]
    np.testing.assert_allclose(grid, np.concatenate(few), atol=1e-6)
    order = np.random.default_rng(0).permutation(360)
    assert np.array_equal(BoxPooler(boxes[order], *size).mean(values), grid[order])
    odd = BoxPooler(np.concatenate([boxes, boxes[:1] + [0, 0, 1, 0]]), *size).mean(values)
    np.testing.assert_allclose(odd[:360], grid, atol=1e-6)

"""Regions of tiles get the scores of their own pixels, never those of the margin."""

import numpy as np
import pytest
import torch

from ray_al.core.types import ImageFile
from ray_al.datasets.tiles import Tiling
from ray_al.regions.grid import Grid
from ray_al.scoring.poolers import in_native, nearest_in_native, open_pooler
from ray_al.scoring.shards import ShardImage

TILING, SIZE = Tiling((32, 48), 8), (70, 110)


def tiles():
    file = ImageFile(image_id="scan.png", uri="/data/scan.png")
    for part, tile in TILING.divide(file, SIZE):
        height, width = tile.size
        row = {"uri": part.uri, "height": height, "width": width}
        none = np.zeros(0, dtype=np.int64)
        yield ShardImage(row=row, rest=none, taken=none), tile


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("are_boxes", [True, False])
def test_pooled_values_are_those_of_the_core(factor, are_boxes):
    rng, kind = np.random.default_rng(0), Grid(rows=2, columns=3)
    for _, tile in tiles():
        regions = kind.of_image(*tile.size)
        values = rng.random((32 // factor, 48 // factor)).astype(np.float32)
        native = values.repeat(factor, 0).repeat(factor, 1)
        expected = [tile.cut(native)[regions.region_map == number].mean() for number in range(6)]
        settings = kind if are_boxes else OwnKind(rows=2, columns=3)
        height, width = tile.size
        pooler = open_pooler(settings, regions, height, width, tile)
        found = pooler.mean(torch.from_numpy(values)[None])[:6, 0]
        assert np.abs(found - expected).max() < 1e-5
        assert list(pooler.num_pixels[:6]) == list(regions.num_pixels)


class OwnKind(Grid):
    """Regions of which the code does not know that they are boxes."""

    are_boxes = False


def test_maps_in_native_pixels_are_those_of_the_core():
    for image, tile in tiles():
        ids = np.arange(32 * 48).reshape(32, 48)
        assert (nearest_in_native(ids, image) == tile.cut(ids)).all()
        assert (in_native(ids, image) == tile.cut(ids)).all()
        assert in_native(ids[::4, ::4], image).shape == tile.size


def test_cells_of_the_core_cover_it():
    for _, tile in tiles():
        rows, columns = tile.cells(8, 12)
        assert rows.start * 4 <= tile.inner.top < tile.inner.bottom <= rows.stop * 4
        assert columns.start * 4 <= tile.inner.left < tile.inner.right <= columns.stop * 4

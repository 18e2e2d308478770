import numpy as np
import pytest

from ray_al.core.config import RegionsConfig
from ray_al.regions import open_regions


@pytest.mark.parametrize("seed", range(20))
def test_a_grid_covers_every_pixel_once(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(rng.integers(10, 300)) for _ in range(2))
    regions = open_regions(RegionsConfig(rows=int(rng.integers(1, 10)), columns=int(rng.integers(1, 10))))
    seen = np.zeros((height, width), int)
    for region in range(regions.num_regions(height, width)):
        box = regions.box(region, height, width)
        seen[box.top : box.bottom, box.left : box.right] += 1
        assert box.num_pixels == regions.num_pixels(height, width)[region]
    assert (seen == 1).all()


def test_image_is_one_region():
    regions = open_regions(RegionsConfig(kind="image"))
    assert regions.num_regions(7, 9) == 1
    assert regions.box(0, 7, 9).as_tuple() == (0, 0, 7, 9)


def test_an_image_smaller_than_the_grid_has_no_regions():
    assert open_regions(RegionsConfig(rows=5, columns=5)).num_regions(4, 100) == 0

import numpy as np
import pytest

from ray_al.regions.grid import Grid
from ray_al.regions.image import WholeImage


@pytest.mark.parametrize("seed", range(20))
def test_a_grid_covers_every_pixel_once(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(rng.integers(10, 300)) for _ in range(2))
    regions = Grid(rows=int(rng.integers(1, 10)), columns=int(rng.integers(1, 10))).of_image(
        height, width
    )
    seen = np.zeros((height, width), int)
    for region in range(regions.num_regions):
        box = regions.box(region)
        seen[box.top : box.bottom, box.left : box.right] += 1
        assert box.num_pixels == regions.num_pixels[region]
    assert (seen == 1).all()


def test_image_is_one_region():
    regions = WholeImage().of_image(7, 9)
    assert regions.num_regions == 1
    assert regions.box(0).as_tuple() == (0, 0, 7, 9)


def test_an_image_smaller_than_the_grid_has_no_regions():
    assert Grid(rows=5, columns=5).num_regions(4, 100) == 0

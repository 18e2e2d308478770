"""Every region kind passes one suite."""

import numpy as np
import pytest

from ray_al.core.config import RegionsConfig
from ray_al.core.errors import DataError
from ray_al.core.seeding import generator
from ray_al.regions import KINDS, open_regions
from ray_al.regions.connect import connect
from ray_al.regions.maps import encode_map

SIZES = [(1, 1), (1, 5), (3, 7), (9, 4), (16, 16), (23, 31)]
SETTINGS = {
    "grid": {"rows": 1, "columns": 1},
    "image": {},
    "superpixels": {"count": 6},
    "pixels": {"per_image": 4, "radius": 1},
    "windows": {"per_image": 4, "radius": 1},
}
PARTITIONS = ["grid", "image", "superpixels"]
SPARSE = ["pixels", "windows"]
NONE = np.empty(0, dtype=np.int64)

every_kind = pytest.mark.parametrize("name", sorted(KINDS))
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))


def open_kind(name, size=(9, 9)):
    settings = dict(SETTINGS[name])
    if name == "grid":
        settings = {"rows": min(3, size[0]), "columns": min(4, size[1])}
    return open_regions(RegionsConfig(kind=name, **settings))


def map_of(height, width):
    """Patches of any shape, as a segmentation leaves them."""
    coarse = generator("map", height, width).integers(0, 4, (-(-height // 3), -(-width // 3)))
    return connect(coarse.repeat(3, axis=0).repeat(3, axis=1)[:height, :width], 4)


def regions_of(name, size):
    kind = open_kind(name, size)
    return kind.of_image(*size, encode_map(map_of(*size)) if kind.needs_maps else None)


def pixels_of(regions, region, size):
    """bool (H, W), from box and mask alone."""
    seen = np.zeros(size, dtype=bool)
    box, mask = regions.box(region), regions.mask(region)
    seen[box.top : box.bottom, box.left : box.right] = True if mask is None else mask
    return seen


def test_the_suite_covers_the_table():
    assert set(SETTINGS) == set(KINDS)
    assert set(PARTITIONS) | set(SPARSE) == set(KINDS)


@every_kind
def test_a_kind_says_what_it_is(name):
    kind = open_kind(name)
    assert kind.needs_maps == (name == "superpixels")
    assert kind.is_sparse == (name in SPARSE)


@every_kind
def test_every_constructor_has_defaults_but_the_grids(name):
    config = RegionsConfig(kind=name)
    assert open_regions(config).is_sparse == config.is_sparse == (name in SPARSE)


@every_kind
@every_size
def test_shapes_and_types(name, size):
    regions = regions_of(name, size)
    ids = size[0] * size[1] if name in SPARSE else regions.num_regions
    assert regions.num_regions >= 1
    assert (regions.boxes.dtype, regions.boxes.shape) == (np.int32, (ids, 4))
    assert (regions.num_pixels.dtype, regions.num_pixels.shape) == (np.int64, (ids,))
    if name in SPARSE:
        assert regions.labels is None
    else:
        assert (regions.labels.dtype, regions.labels.shape) == (np.int32, size)


@every_kind
@every_size
def test_boxes_are_tight_and_inside_the_image(name, size):
    regions = regions_of(name, size)
    for region, (top, left, bottom, right) in enumerate(regions.boxes.tolist()):
        assert regions.box(region).as_tuple() == (top, left, bottom, right)
        y, x = np.nonzero(pixels_of(regions, region, size))
        assert (top, left, bottom, right) == (y.min(), x.min(), y.max() + 1, x.max() + 1)


@every_kind
@every_size
def test_masks_agree_with_sizes(name, size):
    regions = regions_of(name, size)
    for region in range(len(regions.boxes)):
        box, mask = regions.box(region), regions.mask(region)
        assert regions.num_pixels[region] == pixels_of(regions, region, size).sum() > 0
        if mask is not None:
            assert (mask.dtype, mask.shape) == (bool, (box.height, box.width))
            assert not mask.all()


@pytest.mark.parametrize("name", PARTITIONS)
@every_size
def test_no_pixel_is_lost_or_counted_twice(name, size):
    regions = regions_of(name, size)
    seen = np.zeros(size, dtype=int)
    for region in range(regions.num_regions):
        pixels = pixels_of(regions, region, size)
        assert (pixels == (regions.labels == region)).all()
        seen += pixels
    assert (seen == 1).all()
    assert regions.num_pixels.sum() == size[0] * size[1]


@every_kind
@every_size
def test_regions_are_the_same_whenever_they_are_made(name, size):
    one, other = regions_of(name, size), regions_of(name, size)
    assert one.num_regions == other.num_regions
    assert one.boxes.tobytes() == other.boxes.tobytes()
    if one.labels is not None:
        assert one.labels.tobytes() == other.labels.tobytes()


@pytest.mark.parametrize("name", SPARSE)
@every_size
def test_the_best_of_a_sparse_kind_are_regions_and_never_overlap(name, size):
    kind, regions = open_kind(name), regions_of(name, size)
    scores = generator("scores", *size).random(size)
    taken, seen = NONE, np.zeros(size, dtype=int)
    for _ in range(3):
        ids, values = kind.best(scores, *size, taken=taken)
        assert (ids.dtype, values.dtype) == (np.int64, np.float32)
        assert len(ids) == len(values) <= 4
        assert (np.diff(values) <= 0).all()
        for region in ids.tolist():
            seen += pixels_of(regions, region, size)
        taken = np.concatenate([taken, ids])
    assert seen.max() == 1
    assert 0 < len(taken) <= kind.num_regions(*size) == regions.num_regions


@pytest.mark.parametrize("name", SPARSE)
def test_the_boxes_of_some_are_those_of_all(name):
    regions = regions_of(name, (5, 6))
    some = np.array([29, 0, 13])
    assert (regions.boxes_of(some) == regions.boxes[some]).all()


def test_a_grid_says_the_same_through_both_doors():
    kind = open_regions(RegionsConfig(rows=3, columns=4))
    regions = kind.of_image(10, 13)
    assert (regions.boxes == kind.boxes(10, 13)).all()
    assert (regions.num_pixels == kind.num_pixels(10, 13)).all()
    assert regions.box(7) == kind.box(7, 10, 13)


def test_an_image_smaller_than_the_grid_has_no_regions():
    regions = open_regions(RegionsConfig()).of_image(4, 100)
    assert regions.num_regions == len(regions.boxes) == len(regions.num_pixels) == 0
    assert (regions.labels == -1).all()


def test_superpixels_ask_for_their_map():
    with pytest.raises(DataError, match="no map"):
        open_regions(RegionsConfig(kind="superpixels")).of_image(4, 4)
    with pytest.raises(DataError, match="3x7 pixels for an image of 4x4"):
        open_regions(RegionsConfig(kind="superpixels")).of_image(4, 4, encode_map(map_of(3, 7)))

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ray_al.core.families.labels import LABELS
from ray_al.core.families.units import UNITS, Received
from ray_al.core.types import PoolSizes
from ray_al.label.cost import polygon_clicks
from ray_al.label.polygon import boundary_clicks


def label(kind="dense", **settings):
    return LABELS.parse({"kind": kind, **settings})


def blank(height, width):
    return np.zeros((height, width), np.uint8)


def square_in_a_square():
    ids = blank(10, 10)
    ids[3:7, 3:7] = 1
    return ids


def stripes():
    ids = blank(9, 9)
    ids[:, 3:6] = 1
    return ids


def test_a_square_in_a_square_is_two_classes_and_four_corners():
    assert boundary_clicks(square_in_a_square()) == (0, 4)
    assert polygon_clicks(square_in_a_square()) == 2 + 0 + 4


def test_stripes_are_three_classes_and_four_crossings():
    assert boundary_clicks(stripes()) == (4, 0)
    assert polygon_clicks(stripes()) == 3 + 4 + 0
    assert polygon_clicks(stripes().T) == 7


def test_a_cross_of_four_quarters_has_one_vertex():
    ids = blank(8, 8)
    ids[:4, 4:], ids[4:, :4], ids[4:, 4:] = 1, 2, 3
    assert polygon_clicks(ids) == 4 + 4 + 1


def test_diagonal_neighbours_are_one_component():
    ids = blank(8, 8)
    ids[:4, 4:] = ids[4:, :4] = 1
    assert polygon_clicks(ids) == 2 + 4 + 1


def test_a_corner_cut_off_is_a_straight_line():
    y, x = np.mgrid[:12, :12]
    assert polygon_clicks((y + x < 9).astype(np.uint8)) == 2 + 2 + 0


@pytest.mark.parametrize("value", [0, 4, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (6, 7)])
def test_one_value_everywhere_is_one_click_void_too(value, shape):
    assert polygon_clicks(np.full(shape, value, np.uint8)) == 1


def test_void_is_drawn_like_a_class():
    ids = stripes()
    ids[ids == 1] = 255
    assert polygon_clicks(ids) == 7


def test_a_line_of_pixels_is_crossed_from_side_to_side():
    ids = np.array([[0, 0, 1, 1, 1, 2]], np.uint8)
    assert polygon_clicks(ids) == 3 + 4 + 0
    assert polygon_clicks(ids.T) == 7


def test_one_pixel_inside_is_a_triangle():
    ids = blank(5, 5)
    ids[2, 2] = 1
    assert polygon_clicks(ids) == 2 + 0 + 3


def test_an_island_at_the_side_has_crossings_and_corners():
    ids = blank(10, 10)
    ids[0:4, 3:7] = 1
    assert polygon_clicks(ids) == 2 + 2 + 2


def test_what_lies_outside_the_region_costs_nothing():
    ids, region = square_in_a_square(), np.zeros((10, 10), bool)
    region[:, :5] = True
    assert polygon_clicks(ids, region) == polygon_clicks(ids[:, :5]) == 2 + 2 + 2
    region = np.ones((10, 10), bool)
    region[3:7, 3:7] = False
    assert polygon_clicks(ids, region) == 1


def test_a_region_in_two_pieces_pays_for_both():
    region = np.zeros((4, 9), bool)
    region[:, :3] = region[:, 6:] = True
    assert polygon_clicks(blank(4, 9), region) == 2


@pytest.mark.parametrize("seed", range(5))
def test_no_straight_line_has_a_vertex(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :80]
    for angle in rng.uniform(0, np.pi, 10):
        ids = (
            (y - rng.uniform(20, 60)) * np.cos(angle) > (x - rng.uniform(20, 60)) * np.sin(angle)
        ).astype(np.uint8)
        assert boundary_clicks(ids)[1] == 0


@pytest.mark.parametrize(
    "corners", [[(20, 20), (180, 40), (60, 170)], [(10, 100), (100, 10), (190, 100), (100, 190)]]
)
def test_the_vertices_of_a_drawn_polygon_are_found_again(corners):
    image = Image.new("L", (200, 200))
    ImageDraw.Draw(image).polygon(corners, fill=1)
    crossings, vertices = boundary_clicks(np.array(image))
    assert crossings == 0
    assert len(corners) <= vertices <= len(corners) + 1


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["dense", "dominant", "classes"])
def test_clicks_never_exceed_what_was_reserved(kind, seed):
    rng = np.random.default_rng(seed)
    kinds = [
        label(kind, **({"max_clicks": cap} if kind == "dense" else {})) for cap in (1, 3, 10_000)
    ]
    for height, width in [(1, 1), (1, 2), (2, 2), (1, 9), (3, 3), (12, 17)]:
        ids = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), size=(height, width))
        region = rng.random((height, width)) < 0.7
        region[0, 0] = True
        for mask, num_pixels in [(None, ids.size), (region, int(region.sum()))]:
            for asked in kinds:
                most = asked.most_clicks(num_pixels, 4)
                assert 1 <= asked.clicks(asked.of_truth(ids, mask), mask) <= most
                assert UNITS.parse("clicks").most(num_pixels, asked, 4) == most


def test_an_annotator_stops_at_the_cap():
    assert label().clicks(square_in_a_square(), None) == 6
    assert label(max_clicks=4).clicks(square_in_a_square(), None) == 4


def test_other_kinds_by_their_label():
    assert label("dominant").clicks(255, None) == label("dominant").clicks(3, None) == 1
    assert label("classes").clicks((0, 4, 9), None) == 3
    assert label("classes").clicks((), None) == 1


@pytest.mark.parametrize(
    ("kind", "num_pixels", "bound"),
    [
        ("dominant", 900, 1),
        ("classes", 900, 19),
        ("classes", 7, 7),
        ("classes", 1, 1),
        ("dense", 900, 100),
        ("dense", 1, 1),
        ("dense", 2, 6),
    ],
)
def test_what_is_reserved(kind, num_pixels, bound):
    assert label(kind).most_clicks(num_pixels, 19) == bound


@pytest.mark.parametrize(
    ("unit", "most", "cost", "of_pool"),
    [
        ("regions", 1, 7, 40),
        ("pixels", 100, 7, 5000),
        ("images", 1, 2, 10),
        ("clicks", 100, 30, None),
    ],
)
def test_what_a_region_costs_in_each_unit(unit, most, cost, of_pool):
    found = UNITS.parse(unit)
    assert found.most(100, label(), 5) == most
    assert found.cost(Received(reserved=7, clicks=30, num_opened=2)) == cost
    assert found.of_pool(PoolSizes(num_regions=40, num_pixels=5000, num_images=10)) == of_pool


def test_regions_of_which_nobody_knows_the_size_yet():
    assert [UNITS.parse(unit).bounds(None, label(), 5) for unit in UNITS.kinds] == [
        (1, 1),
        (1, 1 << 62),
        (1, 1),
        (100, 100),
    ]

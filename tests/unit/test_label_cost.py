import numpy as np
import pytest
from PIL import Image, ImageDraw

from ray_al.label.cost import COSTS, Asked, clicks, clicks_upper_bound, polygon_clicks
from ray_al.label.kinds import KINDS
from ray_al.label.polygon import boundary_clicks


def asked(kind="dense", num_pixels=100, num_classes=5, cap=100, image_index=3, opened=frozenset()):
    return Asked(kind=kind, num_pixels=num_pixels, num_classes=num_classes, cap=cap, image_index=image_index, opened=opened)


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
        ids = ((y - rng.uniform(20, 60)) * np.cos(angle) > (x - rng.uniform(20, 60)) * np.sin(angle)).astype(np.uint8)
        assert boundary_clicks(ids)[1] == 0


@pytest.mark.parametrize("corners", [[(20, 20), (180, 40), (60, 170)], [(10, 100), (100, 10), (190, 100), (100, 190)]])
def test_the_vertices_of_a_drawn_polygon_are_found_again(corners):
    image = Image.new("L", (200, 200))
    ImageDraw.Draw(image).polygon(corners, fill=1)
    crossings, vertices = boundary_clicks(np.array(image))
    assert crossings == 0
    assert len(corners) <= vertices <= len(corners) + 1


@pytest.mark.parametrize("seed", range(10))
def test_actual_never_exceeds_what_was_reserved(seed):
    rng = np.random.default_rng(seed)
    for height, width in [(1, 1), (1, 2), (2, 2), (1, 9), (3, 3), (12, 17)]:
        ids = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), size=(height, width))
        region = rng.random((height, width)) < 0.7
        region[0, 0] = True
        for mask, num_pixels in [(None, ids.size), (region, int(region.sum()))]:
            for kind, row in KINDS.items():
                label = row.answer(ids, mask)
                for unit, cost in COSTS.items():
                    for cap in (1, 3, 10_000):
                        region_asked = asked(kind, num_pixels, 4, cap, opened={3} if seed % 2 else frozenset())
                        actual, bound = cost.actual(region_asked, label, mask), cost.upper_bound(region_asked)
                        assert (0 if unit == "images" else 1) <= actual <= bound


def test_an_annotator_stops_at_the_cap():
    assert clicks("dense", square_in_a_square(), None, 100) == 6
    assert clicks("dense", square_in_a_square(), None, 4) == 4


def test_other_kinds_by_their_label():
    assert clicks("dominant", 255, None, 100) == clicks("dominant", 3, None, 1) == 1
    assert clicks("classes", (0, 4, 9), None, 1) == 3
    assert clicks("classes", (), None, 100) == 1


@pytest.mark.parametrize(
    ("kind", "num_pixels", "bound"),
    [("dominant", 900, 1), ("classes", 900, 19), ("classes", 7, 7), ("classes", 1, 1), ("dense", 900, 100), ("dense", 1, 1), ("dense", 2, 6)],
)
def test_what_is_reserved(kind, num_pixels, bound):
    assert clicks_upper_bound(kind, num_pixels, num_classes=19, cap=100) == bound


def test_units_known_in_advance():
    label = square_in_a_square()
    for unit, expected in [("regions", 1), ("pixels", 100), ("images", 1)]:
        assert COSTS[unit].upper_bound(asked()) == COSTS[unit].actual(asked(), label, None) == expected


def test_only_the_first_region_of_an_image_opens_it():
    opened: set[int] = {8}
    paid = []
    for image_index in (3, 3, 8, 4, 3):
        paid.append(COSTS["images"].upper_bound(asked(image_index=image_index, opened=opened)))
        opened.add(image_index)
    assert paid == [1, 0, 0, 1, 0]

"""Every region kind passes one suite: those of the family, and some that a user could write."""

from typing import Literal

import numpy as np
import pytest
from helpers.own_variants import own

from ray_al.core.config import load_config, parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.regions import REGIONS, Regions
from ray_al.core.seeding import generator
from ray_al.regions.connect import connect
from ray_al.regions.grid import Grid
from ray_al.regions.maps import MappedRegions, MapRegions, encode_map
from ray_al.regions.sparse import Radius, SparseRegions
from ray_al.scoring.poolers import open_pooler
from ray_al.scoring.pooling import RegionMapPooler


class Halves(Regions):
    """A user's own: two triangles, whose pixels do not fill their boxes."""

    kind: str = "halves"

    def of_image(self, height, width, data=None):
        y, x = np.mgrid[:height, :width]
        region_map = (y * width > x * height).astype(np.int32)
        return MapRegions(region_map)


class Thirds(MappedRegions):
    """A user's own: as many regions as an image has shades of grey in three."""

    kind: str = "thirds"

    def segment(self, image):
        return connect((image.mean(axis=2) // 86).astype(np.int32), 1)

    def expected_regions(self, height, width):
        return 3


class Bars(SparseRegions):
    """A user's own: squares that are kept further apart than they are wide."""

    kind: str = "bars"
    radius: Radius = 1
    gap: Literal[0, 1, 2] = 2

    @property
    def reach(self):
        return self.radius

    @property
    def apart(self):
        return 2 * self.radius + self.gap

    def region_scores(self, scores_HW):
        return scores_HW


SIZES = [(1, 1), (1, 5), (3, 7), (9, 4), (16, 16), (23, 31)]
OWN = [f"{__name__}:{name}" for name in ("Halves", "Thirds", "Bars")]
SETTINGS = {
    "grid": {"rows": 1, "columns": 1},
    "superpixels": {"count": 6},
    "pixels": {"per_image": 4, "radius": 1},
    "windows": {"per_image": 4, "radius": 1},
    OWN[2]: {"per_image": 4},
}
KINDS = [*REGIONS.kinds, *OWN, *own("regions")]
SPARSE = [name for name in KINDS if REGIONS.find(name).is_sparse]
PARTITIONS = [name for name in KINDS if name not in SPARSE]
NONE = np.empty(0, dtype=np.int64)

every_kind = pytest.mark.parametrize("name", KINDS)
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))


def open_kind(name, size=(9, 9)):
    settings = dict(SETTINGS.get(name, {}))
    if name == "grid":
        settings = {"rows": min(3, size[0]), "columns": min(4, size[1])}
    return REGIONS.parse({"kind": name, **settings})


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


@every_kind
def test_a_kind_says_what_it_is(name):
    kind = open_kind(name)
    assert [kind.is_sparse, kind.needs_maps, kind.is_sized].count(True) == 1
    assert kind.paper or ":" in name
    assert bool(kind.needs) == kind.needs_maps
    assert kind.describe(["method", "count", "radius"])


@every_kind
def test_a_kind_needs_no_settings_and_reads_back(name):
    config = parse_config({"regions": {"kind": name}}, source="test")
    assert (
        parse_config({"regions": config.regions.model_dump(mode="json")}, source="test").regions
        == config.regions
    )
    assert hash(config.regions) == hash(REGIONS.parse({"kind": name}))


@every_kind
@every_size
def test_numbers_of_regions_agree(name, size):
    kind, regions = open_kind(name, size), regions_of(name, size)
    assert kind.num_regions(*size) == (0 if kind.needs_maps else regions.num_regions)
    assert kind.expected_regions(*size) >= 1
    assert kind.too_small(*size) is None
    if kind.needs_maps:
        assert kind.region_sizes(*size) is None
    elif kind.is_sparse:
        smallest, largest = kind.region_sizes(*size)
        assert smallest <= largest == kind.region_pixels
        assert regions.num_pixels.max() <= largest
    else:
        assert kind.region_sizes(*size) == (regions.num_pixels.min(), regions.num_pixels.max())


@every_kind
@every_size
def test_shapes_and_types(name, size):
    regions = regions_of(name, size)
    ids = size[0] * size[1] if name in SPARSE else regions.num_regions
    assert regions.num_regions >= 1
    assert (regions.boxes.dtype, regions.boxes.shape) == (np.int32, (ids, 4))
    assert (regions.num_pixels.dtype, regions.num_pixels.shape) == (np.int64, (ids,))
    if name in SPARSE:
        assert regions.region_map is None
    else:
        assert (regions.region_map.dtype, regions.region_map.shape) == (np.int32, size)


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
        assert (pixels == (regions.region_map == region)).all()
        seen += pixels
    assert (seen == 1).all()
    assert regions.num_pixels.sum() == size[0] * size[1]


@every_kind
@every_size
def test_regions_are_the_same_whenever_they_are_made(name, size):
    one, other = regions_of(name, size), regions_of(name, size)
    assert one.num_regions == other.num_regions
    assert one.boxes.tobytes() == other.boxes.tobytes()
    if one.region_map is not None:
        assert one.region_map.tobytes() == other.region_map.tobytes()


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


@pytest.mark.parametrize("name", PARTITIONS)
@every_size
def test_means_over_regions(name, size):
    kind, regions = open_kind(name, size), regions_of(name, size)
    values = generator("values", *size).random((2, *size), dtype=np.float32)
    torch = pytest.importorskip("torch")
    means = np.asarray(open_pooler(kind, regions, *size).mean(torch.from_numpy(values)))
    expected = [
        [one[regions.region_map == region].mean() for one in values]
        for region in range(regions.num_regions)
    ]
    assert np.abs(means - expected).max() < 1e-5


def test_regions_that_do_not_fill_their_boxes_are_pooled_by_their_pixels():
    kind = open_kind(OWN[0])
    assert isinstance(open_pooler(kind, kind.of_image(5, 7), 5, 7), RegionMapPooler)


@pytest.mark.parametrize("name", [name for name in PARTITIONS if REGIONS.find(name).needs_maps])
def test_a_map_is_made_from_an_image(name):
    if name == "superpixels" and not hasattr(pytest.importorskip("cv2"), "ximgproc"):
        pytest.skip("this OpenCV lacks its contributed modules: pip install ray_al[superpixels]")
    kind, image = open_kind(name), generator("image").integers(0, 256, (40, 50, 3), dtype=np.uint8)
    region_map = kind.segment(image)
    assert (region_map.dtype, region_map.shape) == (np.int32, (40, 50))
    assert (np.unique(region_map) == np.arange(region_map.max() + 1)).all()
    assert (kind.of_image(40, 50, encode_map(region_map)).region_map == region_map).all()
    with pytest.raises(DataError, match="no map"):
        kind.of_image(40, 50)
    with pytest.raises(DataError, match="40x50 pixels for an image of 4x4"):
        kind.of_image(4, 4, encode_map(region_map))


def test_an_own_kind_says_why_an_image_has_no_region():
    class Nothing(Halves):
        def of_image(self, height, width, data=None):
            return Grid(rows=5, columns=5).of_image(height, width)

    reason = Nothing(kind="nothing").too_small(3, 9)
    assert reason == (
        "the image of 3x9 pixels has no region with regions.kind=nothing; "
        "change that, or take the image out of the split"
    )


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        (
            {"kind": "superpixels", "rows": 9},
            ["regions.rows", "(value 9)", "a setting of kind 'grid'", "this one is 'superpixels'"],
        ),
        ({"kind": "image", "columns": 9}, ["regions.columns", "a setting of kind 'grid'"]),
        (
            {"kind": "grid", "radius": 2},
            ["regions.radius", "'pixels' or 'windows'", "this one is 'grid'"],
        ),
        ({"kind": "grid", "rovs": 2}, ["regions.rovs", "did you mean 'rows'?"]),
        ({"kind": "grit"}, ["regions: kind", "grit", "did you mean 'grid'?"]),
        ({"kind": "superpixels", "method": "seed"}, ["regions.method", "seed"]),
        ({"kind": "pixels", "per_image": 0}, ["regions.per_image", "0"]),
        ("grid", ["regions", "give keys with values"]),
        ({"kind": "no.such.module:Kind"}, ["regions: kind", "no.such.module"]),
        (
            {"kind": "ray_al.core.types:Box"},
            ["regions: kind", "not a subclass of ray_al.core.families.regions.Regions"],
        ),
        (
            {"kind": "ray_al.regions.sparse:SparseRegions"},
            ["regions: kind", "does not define apart, reach, region_scores"],
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_remedy(regions, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"regions": regions}, source="c.yaml")
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["regions.kind=image"], {"kind": "image"}),
        (
            ["regions.kind=windows", "regions.radius=3"],
            {"kind": "windows", "per_image": 10, "radius": 3},
        ),
        (
            ["regions.radius=3", "regions.kind=windows"],
            {"kind": "windows", "per_image": 10, "radius": 3},
        ),
        (
            ["regions.kind=pixels", "regions.per_image=7", "regions.kind=windows"],
            {"kind": "windows", "per_image": 7, "radius": 1},
        ),
        (["regions={kind: grid, rows: 2}"], {"kind": "grid", "rows": 2, "columns": 4}),
        (["regions.columns=9"], {"kind": "grid", "rows": 3, "columns": 9}),
    ],
)
def test_another_kind_takes_none_of_the_settings_that_only_the_one_before_has(
    tmp_path, overrides, expected
):
    for text in ("regions: {rows: 3, columns: 4}", "regions: {kind: grid, rows: 3, columns: 4}"):
        (tmp_path / "c.yaml").write_text(text)
        assert load_config(str(tmp_path / "c.yaml"), overrides).regions.model_dump() == expected


def test_a_setting_that_neither_kind_has_is_refused_all_the_same(tmp_path):
    (tmp_path / "c.yaml").write_text("regions: {rovs: 3}")
    with pytest.raises(ConfigError, match="regions.rovs"):
        load_config(str(tmp_path / "c.yaml"), ["regions.kind=image"])


def test_an_image_smaller_than_the_grid_has_no_regions():
    regions = Grid().of_image(4, 100)
    assert regions.num_regions == len(regions.boxes) == len(regions.num_pixels) == 0
    assert (regions.region_map == -1).all()

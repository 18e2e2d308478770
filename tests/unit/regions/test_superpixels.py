import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import label

from ray_al.core.errors import ConfigError
from ray_al.core.seeding import generator
from ray_al.regions.superpixels import (
    METHODS,
    Superpixels,
    _least_pixels,
    _repeats,
    _seeds_settings,
    _seeds_start,
    segment,
)


@pytest.fixture
def cv2():
    module = pytest.importorskip("cv2", reason="OpenCV is missing: pip install ray_al[superpixels]")
    if not hasattr(module, "ximgproc"):
        pytest.skip("this OpenCV lacks its contributed modules: pip install ray_al[superpixels]")
    return module


def photograph(height, width):
    """Smooth colours with edges and a little noise."""
    y, x = np.mgrid[:height, :width]
    noise = generator("photograph", height, width).integers(0, 12, (height, width, 3))
    channels = [120 + 90 * np.sin(x / 17), 200 * (y + x > height), 120 + 90 * np.cos(y / 11)]
    return (np.stack(channels, axis=-1) + noise).clip(0, 255).astype(np.uint8)


def check_map(segments, size):
    assert (segments.dtype, segments.shape) == (np.int32, size)
    assert (np.unique(segments) == np.arange(segments.max() + 1)).all()
    for region in range(segments.max() + 1):
        assert label(segments == region)[1] == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(96, 128), (97, 61), (40, 200)])
def test_a_map_is_whole_connected_and_without_crumbs(cv2, method, size):
    segments = segment(photograph(*size), method, 40, 10.0)
    check_map(segments, size)
    assert 20 <= segments.max() + 1 <= 80
    assert np.bincount(segments.ravel()).min() >= _least_pixels(method, size[0] * size[1], 40)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 3, 200])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 7), (1, 90), (33, 2), (17, 31)])
def test_a_tiny_image_has_a_region(cv2, method, size, count):
    segments = segment(photograph(*size), method, count, 10.0)
    check_map(segments, size)
    assert segments.max() == 0 or np.bincount(segments.ravel()).min() >= 4


@pytest.mark.parametrize("method", METHODS)
def test_grey_images(cv2, method):
    grey = photograph(60, 80)[..., :1].repeat(3, axis=2)
    check_map(segment(grey, method, 20, 10.0), (60, 80))
    flat = np.full((60, 80, 3), 90, np.uint8)
    segments = segment(flat, method, 20, 10.0)
    check_map(segments, (60, 80))
    assert (
        segments.max() == 0 if method == "felzenszwalb" else 10 <= segments.max() + 1 <= 40
    )  # it finds nothing to tell apart


@pytest.mark.parametrize("method", METHODS)
def test_the_same_bytes_for_any_threads_and_order(cv2, method):
    image, other = photograph(120, 160), photograph(90, 130)
    before = cv2.getNumThreads()
    try:
        expected = segment(image, method, 50, 10.0).tobytes()
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            cv2.setRNGSeed(threads)
            segment(other, method, 30, 10.0)
            assert segment(image, method, 50, 10.0).tobytes() == expected
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)


def test_borders_follow_colours(cv2):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 37:] = (200, 30, 30)
    for method in METHODS:
        segments = segment(image, method, 24, 10.0)
        mixed = [
            region
            for region in range(segments.max() + 1)
            if len(np.unique(image[segments == region][:, 0])) > 1
        ]
        assert np.isin(segments, mixed).mean() <= 0.05, method


def test_a_pole_before_a_wall_keeps_a_region_of_its_own(cv2):
    """A pole is three pixels wide: large superpixels hold more wall, and are labelled wall."""
    image = photograph(96, 128)
    image[:, 60:63] = (10, 10, 10)
    is_pole = np.zeros((96, 128), bool)
    is_pole[:, 60:63] = True
    found = {}
    for method in METHODS:
        segments = segment(image, method, 40, 10.0)
        mostly = (
            np.bincount(segments.ravel(), weights=is_pole.ravel()) / np.bincount(segments.ravel())
            > 0.5
        )
        found[method] = mostly[segments][is_pole].mean()
    assert found["felzenszwalb"] > 0.9
    assert found["seeds"] < 0.5


def test_opencv_never_sees_a_size_that_it_cannot_take():
    rng = generator("sizes")
    for _ in range(500):
        height, width = (int(2 ** rng.uniform(0, 11)) for _ in range(2))
        rows, columns = _repeats(height, width)
        height, width = height * rows, width * columns
        assert min(height, width) >= 64
        assert max(height, width) <= 2 * min(height, width)
        count = max(1, min(int(2 ** rng.uniform(0, 13)), height * width // 16 // rows // columns))
        assert _seeds_start(height, width, *_seeds_settings(height, width, count)) >= 1


@pytest.mark.parametrize(
    "size, count",
    [((360, 480), 200), ((64, 64), 1), ((65, 127), 40), ((400, 200), 700), ((244, 162), 16)],
)
def test_opencv_begins_with_the_number_foreseen(cv2, size, count):
    height, width = size
    number, levels = _seeds_settings(height, width, count)
    foreseen = cv2.ximgproc.createSuperpixelSEEDS(
        width, height, 3, number, levels, 2, 5, False
    ).getNumberOfSuperpixels()
    assert foreseen == _seeds_start(height, width, number, levels)
    assert count < 16 or 0.8 <= foreseen / count <= 1.25


def test_compactness_is_of_slic_alone(cv2):
    image = photograph(96, 128)
    assert (segment(image, "seeds", 40, 1.0) == segment(image, "seeds", 40, 60.0)).all()
    assert (segment(image, "slic", 40, 1.0) != segment(image, "slic", 40, 60.0)).any()


def test_the_kind_segments_with_its_settings(cv2):
    image = photograph(48, 64)
    kind = Superpixels(method="slic", count=12, compactness=20.0)
    assert (kind.segment(image) == segment(image, "slic", 12, 20.0)).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(
        ConfigError, match="'watershed' is unknown; choose from seeds, slic, felzenszwalb"
    ):
        segment(photograph(8, 8), "watershed", 4, 10.0)


@pytest.mark.parametrize(
    "module", [None, SimpleNamespace()], ids=["no OpenCV", "no contributed modules"]
)
def test_a_missing_package_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "cv2", module)
    with pytest.raises(ConfigError, match=r"pip install ray_al\[superpixels\]"):
        segment(photograph(8, 8), "seeds", 4, 10.0)

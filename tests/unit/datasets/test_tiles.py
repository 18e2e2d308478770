"""Tiles divide every image, are read at native size, and take up no more room than one image."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.types import Box, ImageFile
from ray_al.datasets import whole
from ray_al.datasets.images import read_image, read_pool_image, read_seen, read_void
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.masks import read_mask, read_mask_size
from ray_al.datasets.pixels import PixelRule
from ray_al.datasets.rasters import open_values
from ray_al.datasets.tiles import Tiling, file_of, image_of, split_uri

SIZE = (70, 110)
TILING = Tiling((32, 48), 8)


@pytest.fixture(autouse=True)
def _nothing_kept():
    whole.forget_files()
    yield
    whole.forget_files()


@pytest.fixture
def scan(tmp_path):
    """A noisy image with a mask; the same as arrays."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    mask = rng.integers(0, 3, SIZE, np.uint8)
    for name, values in (("scan.png", image), ("mask.png", mask)):
        Image.fromarray(values).save(tmp_path / name)
    places = (str(tmp_path / name) for name in ("scan.png", "mask.png"))
    return ImageFile(image_id="scan.png", uri=next(places), mask_uri=next(places)), image, mask


def parts(scan):
    return list(TILING.divide(scan[0], SIZE))


sides = st.integers(1, 400)


@settings(max_examples=40, deadline=None)
@given(size=st.tuples(sides, sides), window=st.tuples(st.integers(16, 90), st.integers(16, 90)))
@pytest.mark.parametrize("share", [0, 4, 2])
def test_cores_divide_an_image_and_lie_in_their_windows(size, window, share):
    overlap = 0 if share == 0 else min(window) // share
    owners = np.zeros(size, dtype=int)
    for tile in Tiling(window, overlap).tiles(size):
        core, inner = tile.core, tile.inner
        owners[core.top : core.bottom, core.left : core.right] += 1
        assert min(inner.top, inner.left) >= 0
        assert inner.bottom <= window[0]
        assert inner.right <= window[1]
        for axis, (low, high) in enumerate(((core.top, core.bottom), (core.left, core.right))):
            corner, length = tile.corner[axis], window[axis]
            assert corner == 0 or corner + length <= size[axis]  # shifted inwards, not cut off
            # Within the image, a core keeps half of the overlap from the border of its window.
            assert low == 0 or low - corner >= overlap // 2
            assert high == size[axis] or corner + length - high >= overlap // 2
    assert (owners == 1).all()


@pytest.mark.parametrize("name", ["a#b.png", "a b%20?.png", "ä.png", "a#tile=1.png"])
def test_a_uri_names_the_file_and_the_tile(name):
    file = ImageFile(image_id=name, uri=f"s3://bucket/{name}")
    assert split_uri(file.uri) == (file.uri, None)
    assert image_of(name, file.uri) == name
    for part, tile in TILING.divide(file, SIZE):
        assert split_uri(part.uri) == (file.uri, tile)
        assert file_of(part.uri) == file.uri
        assert image_of(part.image_id, part.uri) == name
        assert part.mask_uri is None


def test_a_tile_is_read_at_native_size(scan):
    for part, tile in parts(scan):
        core = tile.core
        inside = np.s_[core.top : core.bottom, core.left : core.right]
        assert (read_image(part.uri) == scan[1][inside]).all()
        assert (read_pool_image(part.uri, tile.size) == scan[1][inside]).all()
        seen = read_seen(part.uri, TILING.window, size=tile.size)
        top, left = tile.corner
        assert (seen == scan[1][top : top + 32, left : left + 48]).all()
        assert (tile.cut(seen) == scan[1][inside]).all()
        decoder = MaskDecoder(num_classes=3)
        assert (read_mask(str(part.mask_uri), decoder) == scan[2][inside]).all()
        box = Box(top=2, left=3, bottom=9, right=7)
        assert (read_mask(str(part.mask_uri), decoder, box=box) == scan[2][inside][2:9, 3:7]).all()
        assert read_mask_size(str(part.mask_uri), decoder) == tile.size


def test_an_image_smaller_than_a_tile_is_padded(scan):
    ((part, tile),) = Tiling((96, 128), 8).divide(scan[0], SIZE)
    seen = read_seen(part.uri, (96, 128))
    assert (seen[:70, :110] == scan[1]).all()
    assert not seen[70:].any()
    assert not seen[:, 110:].any()
    assert (tile.cut(seen) == scan[1]).all()
    assert (tile.place(scan[2], 255)[70:] == 255).all()
    assert (tile.cut(tile.place(scan[2], 255)) == scan[2]).all()


def test_a_file_is_decoded_once_for_all_of_its_tiles(scan, monkeypatch):
    decoded = []

    def counted(data, source, channels=None):
        decoded.append(source)
        return open_values(data, source, channels)

    monkeypatch.setattr(whole, "open_values", counted)
    for part, _ in parts(scan):
        read_image(part.uri)
        read_seen(part.uri, TILING.window)
    assert decoded == [scan[0].uri]
    whole.forget_files()
    read_image(parts(scan)[0][0].uri)
    assert len(decoded) == 2


def test_large_files_are_dropped_before_the_next_one_is_decoded(monkeypatch):
    monkeypatch.setattr(whole, "KEPT_BYTES", 100)
    files: whole.LastFiles[bytes] = whole.LastFiles("bytes", len)
    kept_while_decoding = []

    def decode(size):
        kept_while_decoding.append([key for key, _ in files._kept])
        return bytes(size)

    for key, size in (("a", 40), ("b", 50), ("c", 90), ("d", 1)):
        assert len(files.get(key, SIZE, partial(decode, size))) == size
    assert kept_while_decoding == [[], ["a"], ["a", "b"], ["c"]]
    assert len(files.get("c", SIZE, lambda: b"")) == 90


def test_another_size_than_the_tiles_were_made_for_is_refused(scan, tmp_path):
    Image.fromarray(scan[1][:60]).save(tmp_path / "scan.png")
    Image.fromarray(scan[2][:, :60]).save(tmp_path / "mask.png")
    part, tile = parts(scan)[0]
    with pytest.raises(DataError, match=r"scan\.png: 60x110 pixels.*70x110; put the earlier"):
        read_pool_image(part.uri, tile.size)
    for read in (read_mask, read_mask_size):
        with pytest.raises(DataError, match=r"mask\.png: 70x60 pixels.*70x110; put the earlier"):
            read(str(part.mask_uri), MaskDecoder(num_classes=3))


def test_pixels_without_data_are_those_of_the_tile(tmp_path):
    values = np.arange(70 * 110, dtype=np.uint16).reshape(SIZE)
    Image.fromarray(values).save(tmp_path / "scan.png")
    rule = PixelRule(nodata=float(values[69, 109]))
    found = [
        read_void(part.uri, rule).sum()
        for part, _ in TILING.divide(ImageFile(image_id="a", uri=str(tmp_path / "scan.png")), SIZE)
    ]
    assert found == [0] * (len(found) - 1) + [1]


def test_the_manifest_has_a_row_per_tile_and_one_per_broken_file(scan, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [ImageFile(image_id="broken.png", uri=str(tmp_path / "broken.png")), scan[0]]
    manifest, broken = build_manifest(files, lambda height, width: 4, tiling=TILING)
    rows = manifest.to_pylist()
    assert [name for name, _ in broken] == ["broken.png"]
    assert [row["image_index"] for row in rows] == list(range(len(rows)))
    assert rows[0]["height"] == 0
    assert [row["image_id"] for row in rows[1:4]] == [
        "scan.png#0,0",
        "scan.png#0,31",
        "scan.png#0,62",
    ]
    assert sum(row["height"] * row["width"] for row in rows) == 70 * 110


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tile_overlap": 8}, "tile_overlap=8: images are not divided"),
        (
            {"tile": [64, 64], "image_size": [32, 32]},
            r"image_size=\[32, 32\].*leave image_size out",
        ),
        ({"tile": [64, 32], "tile_overlap": 17}, "more than half of a tile"),
        ({"tile": [8, 64]}, "tile"),
        ({"tile": "64"}, "tile"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        parse_config({"data": values}, source="test")


def test_the_network_sees_tiles_at_their_size():
    config = parse_config({"data": {"tile": [64, 96]}}, source="test")
    assert config.data.image_size == (64, 96)
    assert config.data.overlap == 8
    assert config.shard_size(1000) == 256
    assert parse_config(config.model_dump(mode="json"), source="test") == config
    with pytest.raises(ConfigError, match=r"final\.image_size=\[32, 32\].*leave"):
        parse_config({"data": {"tile": [64, 96]}, "final": {"image_size": [32, 32]}}, source="test")

"""Large pictures are worked through strip by strip, with the same results as whole ones."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.types import ImageFile
from ray_al.datasets import strips
from ray_al.datasets.look import look
from ray_al.datasets.mask_decoder import MaskDecoder, count_values, map_values
from ray_al.datasets.masks import decode_mask
from ray_al.datasets.pixels import PLAIN, PixelRule
from ray_al.datasets.rasters import read_values
from ray_al.datasets.strips import row_strips
from ray_al.predict.forms import overlay

SIZE = (37, 20)
COLORS = ((10, 20, 30), (200, 0, 0), (0, 200, 0))
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 3, SIZE, np.uint8)


@pytest.fixture(params=["whole", "strips"])
def _strips(request, monkeypatch):
    """Run each test with pictures that are one strip, and with strips of three rows."""
    if request.param == "strips":
        monkeypatch.setattr(strips, "WHOLE_PIXELS", 100)
        monkeypatch.setattr(strips, "STRIP_PIXELS", 3 * SIZE[1])
        assert len(list(row_strips(*SIZE))) == 13


pytestmark = pytest.mark.usefixtures("_strips")


def saved(values, kind="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_strips_cover_every_row_once():
    assert [row for rows in row_strips(*SIZE) for row in range(rows.start, rows.stop)] == list(
        range(SIZE[0])
    )
    assert not list(row_strips(0, 5))


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "CMYK"])
def test_values_of_pictures(mode):
    picture = Image.fromarray(RNG.integers(0, 256, (*SIZE, 3), np.uint8)).convert(mode)
    expected = np.array(picture.convert("L" if mode in ("L", "1") else "RGB"))
    found = read_values(saved(picture, "TIFF" if mode == "CMYK" else "PNG"), "x")[1]
    assert np.array_equal(found, np.atleast_3d(expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_values_are_counted_and_mapped(dtype):
    values = IDS.astype(dtype) * 7
    expected = dict(zip((0, 7, 14), np.bincount(IDS.ravel()).tolist(), strict=True))
    assert count_values(values) == expected
    mapped = map_values(values, {0: 2, 7: 255, 14: 1})
    assert (mapped == np.array([2, 255, 1])[IDS]).all()
    assert mapped.dtype == np.uint8


def test_masks_of_ids_and_of_colors():
    ids, colors = (MaskDecoder(num_classes=3, encoding=kind, colors=COLORS) for kind in KINDS)
    painted = np.array(COLORS, np.uint8)[IDS]
    assert (decode_mask(saved(IDS), "m.png", ids).ids == IDS).all()
    assert (decode_mask(saved(painted), "m.png", colors).ids == IDS).all()
    indexed = Image.fromarray(IDS, mode="P")
    indexed.putpalette([value for color in COLORS for value in color])
    assert (decode_mask(saved(indexed), "m.png", colors).ids == IDS).all()
    painted[30, 2] = painted[36, 5] = (1, 2, 3)
    with pytest.raises(DataError, match=r"colour \(1, 2, 3\) on 2 pixels"):
        decode_mask(saved(painted), "m.png", colors)
    with pytest.raises(DataError, match="a colour mask, but ids"):
        decode_mask(saved(painted), "m.png", ids)


KINDS = ("ids", "colors")


def test_transparent_pixels_are_counted_in_all_strips():
    painted = np.dstack([RNG.integers(0, 256, (*SIZE, 3), np.uint8), np.full(SIZE, 255, np.uint8)])
    painted[[0, 20, 36], 3, 3] = 0
    with pytest.raises(DataError, match="3 pixels are transparent"):
        read_values(saved(painted), "x")
    with pytest.raises(DataError, match="3 pixels are transparent"):
        decode_mask(saved(painted), "m.png", MaskDecoder(num_classes=3))


def test_a_check_sees_the_range_of_all_strips(tmp_path):
    values = RNG.integers(100, 200, SIZE).astype(np.uint16)
    values[1, 1], values[36, 2] = 5, 3000
    (tmp_path / "a.png").write_bytes(saved(values))
    file = ImageFile(image_id="a", uri=str(tmp_path / "a.png"))
    used = look(file, SimpleNamespace(pixels=PLAIN)).image.used
    assert (used.low, used.high) == (5, 3000)
    clipped = PixelRule(value_range=(50.0, 2000.0))
    assert look(file, SimpleNamespace(pixels=clipped)).image.clipped_share == 2 / values.size
    far = PixelRule(value_range=(0.0, 200.0))
    error = look(file, SimpleNamespace(pixels=far)).image.error
    assert "1 values lie far outside" in error
    assert ("rows 36 to 36" in error) == (len(list(row_strips(*SIZE))) > 1)


def test_overlays():
    image = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
    found = overlay(image, IDS, COLORS)
    mixed = 0.5 * image + 0.5 * np.array(COLORS, np.float32)[IDS]
    inside = np.zeros(SIZE, bool)
    inside[:-1, :-1] = (IDS[:-1, :-1] == IDS[1:, :-1]) & (IDS[:-1, :-1] == IDS[:-1, 1:])
    assert (found[inside] == mixed[inside].round()).all()

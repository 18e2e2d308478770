"""Images of twelve types are written and read back, scaled by the stated rule, or refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers.pictures import chunk, npy
from helpers.pictures import tiff_of as tiff
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from ray_al.core.config import DataConfig
from ray_al.core.errors import DataError
from ray_al.datasets.images import (
    decode_image,
    read_image,
    read_image_size,
    read_void,
    resize_image,
)
from ray_al.datasets.pixels import PixelRule, to_picture
from ray_al.datasets.rasters import read_values

WIDE = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2849


def npz(values):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=values)
    return buffer.getvalue()


def png(values):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def bands(values, **options):
    planar = "contig" if values.shape[2] > 1 else None
    return tiff(values, photometric="minisblack", planarconfig=planar, **options)


def planes(values):
    return tiff(np.moveaxis(values, 2, 0), photometric="minisblack", planarconfig="separate")


TYPES = {
    "8-bit grey PNG": (np.uint8, 1, lambda v: png(v[..., 0])),
    "8-bit RGB PNG": (np.uint8, 3, png),
    "16-bit grey PNG": (np.uint16, 1, lambda v: png(v[..., 0])),
    "16-bit grey TIFF": (np.uint16, 1, lambda v: tiff(v[..., 0], photometric="minisblack")),
    "packed TIFF": (np.uint16, 4, lambda v: bands(v, compression="zlib")),
    "8-bit bands": (np.uint8, 5, bands),
    "planes of 16 bits": (np.uint16, 6, planes),
    "big-endian TIFF": (np.int16, 2, lambda v: bands(v, byteorder=">")),
    "32-bit TIFF": (np.int32, 1, lambda v: tiff(v[..., 0], photometric="minisblack")),
    "float bands": (np.float32, 4, bands),
    "float64 array": (np.float64, 2, npy),
    "packed array": (np.int8, 3, npz),
}


@st.composite
def image_of_a_type(draw):
    name = draw(st.sampled_from(sorted(TYPES)))
    dtype, channels, encode = TYPES[name]
    sides = st.integers(channels, 12)
    shape = (draw(sides), draw(sides), channels)
    finite = {"allow_nan": False, "allow_infinity": False}
    elements = finite if np.dtype(dtype).kind == "f" else None
    return draw(arrays.arrays(dtype, shape, elements=elements)), encode


@settings(max_examples=120, deadline=None)
@given(image_of_a_type())
def test_values_of_twelve_types_are_read_as_they_were_written(drawn):
    values, encode = drawn
    data = encode(values)
    stored, found, declared = read_values(data, "x")
    assert stored == (*values.shape, values.dtype)
    assert found.dtype.newbyteorder("=") == values.dtype
    assert np.array_equal(found, values)
    assert declared is None


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.uint16, (3, 4, 2)), st.integers(0, 60_000), st.integers(1, 5_000))
def test_values_are_scaled_by_the_range_and_clipped(values, low, width):
    rule = PixelRule(channels="all", value_range=(low, low + width))
    far = (values.astype(int) < low - width) | (values.astype(int) > low + 2 * width)
    if far.any():
        with pytest.raises(DataError, match=rf"x: {far.sum()} values lie far outside.*data.nodata"):
            decode_image(npy(values), "x", rule)
        return
    expected = np.clip((values.astype(float) - low) / width, 0, 1) * 255
    found = decode_image(npy(values), "x", rule)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-2)


def test_eight_bits_stay_bytes_and_others_use_the_range_of_their_type():
    pixels = (WIDE % 256).astype(np.uint8)
    assert decode_image(png(pixels), "x").dtype == np.uint8
    assert np.allclose(decode_image(png(WIDE), "x")[..., 1], WIDE / 257, atol=1e-3)
    signed = (WIDE.astype(int) - 2**15).astype(np.int16)
    assert np.allclose(decode_image(bands(signed[..., None]), "x")[..., 0], WIDE / 257, atol=1e-3)


def test_wide_colour_keeps_its_low_byte(tmp_path):
    values = np.stack([WIDE, WIDE + 1, WIDE + 2], axis=2)

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )
    assert np.array_equal(read_values(data, "x")[1], values)


FLOATS = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6, 1)
HOLES = FLOATS.copy()
HOLES[0, :2] = np.nan
MINUS = FLOATS.copy()
MINUS[0, :2] = -9999
ALL = PixelRule(channels="all")
SQUARE = np.zeros((9, 9, 3), np.uint8)
REFUSED = {
    "floats without a range": (bands(FLOATS), PixelRule(), r"data.value_range=\[LOW, HIGH\]"),
    "32 bits without a range": (npy(WIDE.astype(np.uint32)), PixelRule(), "data.value_range"),
    "NaN": (
        bands(HOLES),
        PixelRule(value_range=(0, 1)),
        "2 pixels are not numbers.*nodata=nan",
    ),
    "-9999": (
        bands(MINUS),
        PixelRule(value_range=(0, 1)),
        "2 values lie far outside.*data.nodata=-9999",
    ),
    "GDAL's no-data tag": (
        tiff(WIDE, photometric="minisblack", extratags=[(42113, "s", 0, "0", True)]),
        PixelRule(),
        "1 pixels hold 0, which the file says means no data; set data.nodata=0",
    ),
    "five channels": (
        bands(np.zeros((8, 8, 5), np.uint8)),
        PixelRule(),
        r"holds 5 channels.*data.channels=all.*data.channels=\[0, 1, 2\]",
    ),
    "two channels": (npy(np.zeros((4, 6, 2), np.uint8)), PixelRule(), r"data.channels=\[0, 1\]"),
    "another number": (
        npy(SQUARE),
        PixelRule(channels=4),
        "not 4 as the other images",
    ),
    "no such channel": (
        npy(SQUARE),
        PixelRule(channels=(0, 3)),
        "channel 3",
    ),
    "channels first": (npy(np.zeros((3, 9, 9), np.uint8)), PixelRule(), "array.transpose"),
    "pages": (
        tiff(np.zeros((3, 9, 9), np.uint16), photometric="minisblack"),
        PixelRule(),
        r"\(3\)",
    ),
    "alpha": (
        tiff(np.zeros((9, 9, 4), np.uint16), photometric="rgb"),
        PixelRule(),
        r"81 pixels are transparent.*data.channels=\[0, 1, 2, 3\]",
    ),
    "flags": (npy(np.zeros((4, 6), bool)), PixelRule(), "type bool"),
    "objects": (npy(np.array([[None]])), PixelRule(), "type object"),
    "two arrays": (npz(WIDE)[:-22] + b"PK\5\6" + b"\0" * 18, PixelRule(), "archive of 0 files"),
    "short array": (npy(WIDE)[:-1], PixelRule(), "47 bytes of values.*need 48"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_scaled_is_refused_with_the_setting(name):
    data, rule, words = REFUSED[name]
    with pytest.raises(DataError, match=rf"^x: .*{words}"):
        decode_image(data, "x", rule)


def test_pixels_without_data_become_black_and_are_known(tmp_path):
    for values, nodata in ((HOLES, np.nan), (MINUS, -9999.0)):
        path = tmp_path / "x.tif"
        path.write_bytes(bands(values))
        rule = PixelRule(value_range=(0, 1), nodata=nodata)
        image, expected = read_image(str(path), rule), np.repeat(FLOATS * 255, 3, 2)
        assert (image[0, :2] == 0).all()
        assert np.allclose(image[1:], expected[1:], atol=1e-3)
        assert read_void(str(path), rule).sum() == 2


def test_a_fourth_band_that_programs_call_transparency_can_be_named(tmp_path):
    values = np.dstack([WIDE, WIDE, WIDE, WIDE])
    path = tmp_path / "x.tif"
    for dtype, white in ((np.uint16, 65535), (np.uint8, 255)):
        expected = (values & white).astype(dtype)
        path.write_bytes(tiff(expected, photometric="rgb"))
        rule = PixelRule(channels=(3, 0))
        assert np.allclose(
            read_image(str(path), rule), expected[..., [3, 0]] / white * 255, atol=1e-3
        )
        assert read_image_size(str(path), rule) == (4, 6)


def test_orientation_turns_bands_as_it_turns_pictures(tmp_path):
    values = np.stack([WIDE, WIDE + 1], axis=2)
    for orientation in range(1, 9):
        wide = bands_turned(values, orientation)
        narrow = tiff_turned_by_pillow(orientation)
        found, size = read_values(wide, "x")[1], (tmp_path / "x.tif")
        size.write_bytes(wide)
        assert read_image_size(str(size), ALL) == found.shape[:2]
        assert np.array_equal(found[..., 0] // 2849, decode_image(narrow, "x")[..., 0])


def bands_turned(values, orientation):
    return tiff(
        values,
        photometric="minisblack",
        planarconfig="contig",
        extratags=[(274, "H", 1, orientation, True)],
    )


def tiff_turned_by_pillow(orientation):
    buffer = io.BytesIO()
    picture = Image.fromarray((WIDE // 2849).astype(np.uint8))
    picture.save(buffer, "TIFF", tiffinfo={274: orientation})
    return buffer.getvalue()


def test_more_channels_are_resized_as_three_are():
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    five = np.concatenate([colours, colours[..., :2]], axis=2)
    small = resize_image(colours, (9, 13))
    assert np.array_equal(resize_image(five, (9, 13))[..., :3], small)
    assert np.array_equal(resize_image(five, (9, 13))[..., 3:], small[..., :2])
    exact = resize_image(five.astype(np.float32), (9, 13))[..., :3]
    assert np.abs(exact - small).max() < 1


def test_people_are_shown_the_channels_that_are_set():
    image = np.stack([np.full((2, 3), value, np.float32) for value in (10.4, 20.6, 30, 40)], axis=2)
    data = DataConfig(channels=(4, 5, 6, 7), normalize="none", display_channels=(7, 4, 5))
    assert to_picture(image, data.shown_positions)[0, 0].tolist() == [40, 10, 21]
    grey = DataConfig(channels=(4, 5), normalize="none")
    assert to_picture(image, grey.shown_positions)[0, 0].tolist() == [10, 10, 10]
    plain = np.zeros((2, 3, 3), np.uint8)
    assert to_picture(plain, DataConfig().shown_positions) is plain

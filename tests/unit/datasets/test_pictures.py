"""Pictures of every kind that tools write: read right, or refused with what was found."""

import struct

import numpy as np
import pytest
from helpers.pictures import FRAMES, PIXELS, chunk, saved, tiff, write
from PIL import Image, PngImagePlugin

from ray_al.core.errors import DataError
from ray_al.datasets.images import read_image, read_image_size
from ray_al.datasets.masks import MaskDecoder, read_mask, read_mask_size

RAMP = np.linspace(0, 65535, 24).reshape(4, 6)
RIGHT = MaskDecoder(num_classes=256)


def rgba(alpha):
    return Image.fromarray(np.dstack([PIXELS, np.full(PIXELS.shape[:2], alpha, np.uint8)]))


ANIMATED = {"save_all": True, "append_images": FRAMES[1:]}
REFUSED = {
    "32-bit TIFF": (tiff([RAMP.astype(np.uint32)]), "32 bits"),
    "float TIFF": (tiff([(RAMP / 65535).astype(np.float32)]), "floating-point"),
    "float RGB TIFF": (tiff([PIXELS.astype(np.float32)]), "floating-point"),
    "float TIFF with nan": (tiff([np.full((4, 6), np.nan, np.float32)]), "floating-point"),
    "two channels": (tiff([PIXELS[..., :2]]), "2 channels"),
    "RGB and infrared": (tiff([np.dstack([PIXELS, PIXELS[..., 0]])]), "4 channels"),
    "four grey channels": (
        tiff([np.dstack([PIXELS, PIXELS[..., 0]])], photometric=1),
        "4 channels",
    ),
    "eight channels": (tiff([np.tile(PIXELS[..., :1], 8)], photometric=1), "8 channels"),
    "CMYK and one more": (
        tiff([np.tile(PIXELS[..., :1], 5)], photometric=5, extra=0),
        "5 channels",
    ),
    "RGBA, half transparent": (saved(rgba(120), "PNG"), "24 pixels are transparent"),
    "RGBA TIFF, half transparent": (
        tiff([np.array(rgba(120))], extra=2),
        "24 pixels are transparent",
    ),
    "grey and alpha": (saved(rgba(120).convert("LA"), "PNG"), "24 pixels are transparent"),
    "a transparent colour": (
        saved(Image.new("RGB", (6, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        "24 pixels are transparent",
    ),
    "a transparent palette": (
        saved(Image.new("P", (6, 4)), "PNG", transparency=0),
        "24 pixels are transparent",
    ),
    "TIFF pages": (saved(FRAMES[0], "TIFF", **ANIMATED), r"several pages or frames \(2\)"),
    "GIF": (saved(FRAMES[0], "GIF", **ANIMATED), r"several pages or frames \(2\)"),
    "APNG": (saved(FRAMES[0], "PNG", **ANIMATED), "several pages"),
    "animated WebP": (saved(FRAMES[0], "WEBP", **ANIMATED), "several pages"),
    "no picture": (b"%PDF-1.4 nothing to see", "is no PNG, JPEG"),
    "empty": (b"", "is no PNG, JPEG"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_become_rgb_is_refused_with_what_was_found(kind, tmp_path):
    data, words = REFUSED[kind]
    path = write(tmp_path / "x.png", data)
    with pytest.raises(DataError, match=rf"x\.png.*{words}"):
        read_image(path)
    if "transparent" not in kind and "alpha" not in kind:  # which only pixels tell
        with pytest.raises(DataError, match=rf"x\.png.*{words}"):
            read_image_size(path)


ALL_RIGHT = {
    "RGB": (saved(Image.fromarray(PIXELS), "PNG"), PIXELS),
    "opaque RGBA": (saved(rgba(255), "PNG"), PIXELS),
    "opaque RGBA TIFF": (tiff([np.array(rgba(255))], extra=2), PIXELS),
    "lossless WebP": (saved(Image.fromarray(PIXELS), "WEBP", lossless=True), PIXELS),
    "BMP": (saved(Image.fromarray(PIXELS), "BMP"), PIXELS),
    "palette": (
        saved(Image.fromarray(PIXELS).quantize(24), "PNG"),
        np.array(Image.fromarray(PIXELS).quantize(24).convert("RGB")),
    ),
    "CMYK": (saved(Image.fromarray(PIXELS).convert("CMYK"), "TIFF"), PIXELS),
    "a TIFF and its thumbnail": (tiff([PIXELS, PIXELS[::2, ::2]], subfiles=(0, 1)), PIXELS),
    "compressed TIFF": (saved(Image.fromarray(PIXELS), "TIFF", compression="tiff_lzw"), PIXELS),
}


@pytest.mark.parametrize("kind", ALL_RIGHT)
def test_what_is_8_bit_rgb_in_another_way_is_read(kind, tmp_path):
    data, expected = ALL_RIGHT[kind]
    path = write(tmp_path / "x.png", data)
    assert read_image(path).tolist() == expected.tolist()
    assert read_image_size(path) == (4, 6)


def exif(orientation):
    values = Image.Exif()
    values[0x0112] = orientation
    return values


def xmp(orientation, form="attribute"):
    inner = {
        "attribute": f'tiff:Orientation="{orientation}"/>',
        "quotes": f"tiff:Orientation='{orientation}'/>",
    }
    tail = inner.get(form, f"><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>")
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {tail}</rdf:RDF></x:xmpmeta>'
    )


def raw_profile(name, data):
    """As ImageMagick writes EXIF and XMP into text chunks."""
    info = PngImagePlugin.PngInfo()
    info.add_text(f"Raw profile type {name}", f"\n{name}\n{len(data):8}\n{data.hex()}\n", zip=True)
    return {"pnginfo": info}


def itxt(text, *, packed=False):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text, zip=packed)
    return {"pnginfo": info}


def behind(image, kind, data):
    whole = saved(image, "PNG")
    return whole[:-12] + chunk(kind, data) + whole[-12:]


def exif_block(orientation):
    block = exif(orientation).tobytes()
    return block if block.startswith(b"Exif\0\0") else b"Exif\0\0" + block


PLACES = {
    "EXIF in a JPEG": lambda image, o: saved(image, "JPEG", exif=exif(o), quality=100),
    "XMP in a JPEG": lambda image, o: saved(image, "JPEG", xmp=xmp(o).encode(), quality=100),
    "eXIf in a PNG": lambda image, o: saved(image, "PNG", exif=exif(o)),
    "eXIf behind the pixels": lambda image, o: behind(image, b"eXIf", exif_block(o)[6:]),
    "XMP in a PNG": lambda image, o: saved(image, "PNG", **itxt(xmp(o))),
    "XMP as an element": lambda image, o: saved(image, "PNG", **itxt(xmp(o, "element"))),
    "XMP in single quotes": lambda image, o: saved(image, "PNG", **itxt(xmp(o, "quotes"))),
    "packed XMP": lambda image, o: saved(image, "PNG", **itxt(xmp(o), packed=True)),
    "XMP behind the pixels": lambda image, o: behind(
        image, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(o).encode()
    ),
    "raw profile exif": lambda image, o: saved(image, "PNG", **raw_profile("exif", exif_block(o))),
    "raw profile APP1": lambda image, o: saved(image, "PNG", **raw_profile("APP1", exif_block(o))),
    "raw profile xmp": lambda image, o: saved(image, "PNG", **raw_profile("xmp", xmp(o).encode())),
    "tag in a TIFF": lambda image, o: saved(image, "TIFF", tiffinfo={0x0112: o}),
    "tag in a packed TIFF": lambda image, o: saved(
        image, "TIFF", tiffinfo={0x0112: o}, compression="tiff_lzw"
    ),
    "EXIF in a WebP": lambda image, o: saved(image, "WEBP", exif=exif(o), lossless=True),
    "XMP in a WebP": lambda image, o: saved(image, "WEBP", xmp=xmp(o).encode(), lossless=True),
}
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("place", PLACES)
def test_header_and_pixels_are_turned_wherever_the_orientation_stands(place, tmp_path):
    picture = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, 16, 0), 16, 1)
    for orientation, turn in TURNED.items():
        expected = turn(picture)
        path = write(
            tmp_path / f"{orientation}.png",
            PLACES[place](Image.fromarray(np.repeat(picture[..., None], 3, 2)), orientation),
        )
        assert read_image_size(path) == expected.shape
        assert np.abs(read_image(path)[..., 0].astype(int) - expected).max() < 12, (
            place,
            orientation,
        )
        if "JPEG" in place:
            continue
        path = write(
            tmp_path / f"{orientation}-mask.png",
            PLACES[place](Image.fromarray(picture), orientation),
        )
        assert read_mask_size(path) == expected.shape
        assert read_mask(path, RIGHT).tolist() == expected.tolist()


def test_a_photograph_with_a_preview_behind_it_is_one_picture(tmp_path):
    data = saved(FRAMES[0], "MPO", **ANIMATED)
    path = write(tmp_path / "x.jpg", data)
    assert (read_image(path).shape, read_image_size(path)) == ((4, 6, 3), (4, 6))


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [(40_000, 30_000, "1073741824.*tiles"), (14_000, 13_000, "13000x14000 pixels in 68 bytes")],
)
def test_a_picture_that_is_too_large_is_refused(width, height, words, tmp_path):
    small = saved(Image.new("1", (6, 4)), "PNG")
    header = struct.pack(">II", width, height) + small[24:29]
    path = write(tmp_path / "x.png", small[:8] + chunk(b"IHDR", header) + small[33:])
    for read in (read_image_size, read_image, read_mask_size, lambda uri: read_mask(uri, RIGHT)):
        with pytest.raises(DataError, match=rf"x\.png.*{words}"):
            read(path)


def test_a_large_empty_mask_is_no_bomb(tmp_path):
    path = write(tmp_path / "x.png", saved(Image.new("1", (13_000, 6_000)), "PNG"))
    assert read_image_size(path) == read_mask_size(path) == (6_000, 13_000)

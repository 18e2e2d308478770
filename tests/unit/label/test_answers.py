"""Answers as people's tools save them: taken as they were drawn, or refused."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ray_al.core.errors import DataError
from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.families.labels import LABELS
from ray_al.core.types import Box
from ray_al.datasets.png import check_png

CLASSES = Classes(
    names=("ground", "disc", "straße"), colors=((120, 90, 60), (200, 30, 30), (30, 60, 200))
)
DRAWN = np.array([[0, 1, 2, 2], [0, 0, 1, 2], [1, 1, 0, 2]], np.uint8)
WHOLE = Place(
    box=Box(top=0, left=0, bottom=3, right=4),
    context=Box(top=0, left=0, bottom=3, right=4),
    region=None,
)
GREYS = [value for grey in range(256) for value in (grey, grey, grey)]


def file(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


def indexed(ids, palette):
    image = Image.fromarray(ids)
    image.putpalette(
        [value for color in palette for value in color]
        if palette and isinstance(palette[0], tuple)
        else palette
    )
    return image


def grey(ids, mode="L"):
    return Image.fromarray(ids).convert(mode)


def colored(ids):
    return Image.fromarray(np.array(CLASSES.colors, np.uint8)[ids])


def read(data, kind="dense", place=WHOLE, classes=CLASSES):
    return LABELS.parse({"kind": kind}).read(data, place, classes)


def clear(image):
    """The picture with one half transparent pixel."""
    values = np.array(image.convert("RGBA"))
    values[0, 0, 3] = 128
    return Image.fromarray(values)


def own_palette(order, extra=()):
    """The picture with the colours of the classes, in a palette of another order."""
    place_of = np.argsort(order).astype(np.uint8)
    return indexed(place_of[DRAWN], [*(CLASSES.colors[number] for number in order), *extra])


def with_void(palette):
    ids = DRAWN.copy()
    ids[0, 0] = 255
    return ids, indexed(ids, palette)


GOOD = {
    "ids": lambda: grey(DRAWN),
    "grey ramp": lambda: indexed(DRAWN, GREYS),
    "short ramp of ids": lambda: indexed(DRAWN, [(0, 0, 0), (1, 1, 1), (2, 2, 2)]),
    "the classes' colours in RGB": lambda: colored(DRAWN),
    "the classes' colours in RGBA": lambda: colored(DRAWN).convert("RGBA"),
    "the classes' palette": lambda: indexed(DRAWN, list(CLASSES.colors)),
    "the palette by first use": lambda: own_palette([2, 0, 1]),
    "a palette with colours that are not used": lambda: own_palette(
        [1, 2, 0], extra=[(1, 2, 3), (120, 90, 60)]
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_was_drawn_is_taken(name):
    assert read(file(GOOD[name]())).tolist() == DRAWN.tolist()


@pytest.mark.parametrize("palette", [GREYS, [*CLASSES.colors, *[(7, 7, 7)] * 252, (224, 224, 192)]])
def test_index_255_means_nothing(palette):
    ids, image = with_void(palette)
    assert read(file(image)).tolist() == ids.tolist()
    assert read(file(grey(ids))).tolist() == ids.tolist()


def test_colors_of_classes_in_a_ramp_decide():
    shades = Classes(names=("a", "b", "c"), colors=((0, 0, 0), (128, 128, 128), (255, 255, 255)))
    drawn = np.array([[0, 128, 255]], np.uint8)
    place = Place(
        box=Box(top=0, left=0, bottom=1, right=3),
        context=Box(top=0, left=0, bottom=1, right=3),
        region=None,
    )
    assert read(file(indexed(drawn, GREYS)), place=place, classes=shades).tolist() == [[0, 1, 2]]


def test_greys_in_rgb_that_are_ids_of_other_classes_are_refused():
    shades = Classes(names=("a", "b"), colors=((1, 1, 1), (0, 0, 0)))
    drawn = np.array([[0, 1, 1, 0]] * 3, np.uint8)
    with pytest.raises(DataError, match="greys are colours of classes, but not those of the ids"):
        read(file(grey(drawn, "RGB")), classes=shades)
    same = Classes(names=("a", "b"), colors=((0, 0, 0), (255, 255, 255)))
    picture = Image.fromarray(np.array(same.colors, np.uint8)[drawn])
    assert read(file(picture), classes=same).tolist() == drawn.tolist()
    twins = Classes(names=("a", "b", "c"), colors=((9, 0, 0), (9, 0, 0), (0, 9, 0)))
    with pytest.raises(DataError, match=r"is that of several classes \(a, b\)"):
        read(file(Image.fromarray(np.full((3, 4, 3), (9, 0, 0), np.uint8))), classes=twins)


def test_only_the_box_of_a_whole_picture_is_looked_at():
    place = Place(
        box=Box(top=2, left=3, bottom=5, right=7),
        context=Box(top=0, left=2, bottom=6, right=8),
        region=None,
    )
    ids = np.full((6, 6), 255, np.uint8)
    ids[2:5, 1:5] = DRAWN
    assert read(file(grey(ids)), place=place).tolist() == DRAWN.tolist()
    background = np.full((6, 6), 255, np.uint8)
    background[2:5, 1:5] = 0
    assert not read(file(grey(background)), place=place).any()


def late_orientation(data, orientation=6):
    """The file with an EXIF chunk behind its pixels."""
    content = (
        b"MM\x00*\x00\x00\x00\x08\x00\x01"
        + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
        + b"\x00" * 4
    )
    chunk = (
        struct.pack(">I", len(content))
        + b"eXIf"
        + content
        + struct.pack(">I", zlib.crc32(b"eXIf" + content))
    )
    end = data.index(b"IEND") - 4
    return data[:end] + chunk + data[end:]


def with_size(data, side):
    """The file with another size in its header."""
    content = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
    return data[:12] + content + struct.pack(">I", zlib.crc32(content)) + data[33:]


def several_pages():
    frames = [grey(DRAWN), grey(DRAWN[:, ::-1].copy())]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, format="PNG", save_all=True, append_images=frames[1:], default_image=False
    )
    assert len(list(ImageSequence.Iterator(Image.open(buffer)))) == 2
    return buffer.getvalue()


def flipped(data):
    """A bit of the pixel data changed, so that it still decompresses."""
    start = data.index(b"IDAT") + 4
    for position in range(start, len(data) - 16):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            try:
                if (
                    np.array(Image.open(io.BytesIO(changed)))
                    != np.array(Image.open(io.BytesIO(data)))
                ).any():
                    return bytes(changed)
            except (OSError, SyntaxError, ValueError):  # this bit does not decompress
                continue
    raise AssertionError("no bit that Pillow reads without a word")


NOISE = np.random.default_rng(0).integers(0, 3, (3, 4), dtype=np.uint8)
BAD = {
    "a colour of no class": (
        lambda: file(indexed(DRAWN, [(9, 9, 9), *CLASSES.colors])),
        r"\(9, 9, 9\) on 4 pixels belongs to no class",
    ),
    "an index outside the palette": (
        lambda: file(indexed(np.where(DRAWN == 2, 3, DRAWN), list(CLASSES.colors))),
        "index 3 of a palette of 3",
    ),
    "one black colour": (
        lambda: file(indexed(np.zeros((3, 4), np.uint8), [(0, 0, 0)])),
        "belongs to no class",
    ),
    "black and white": (
        lambda: file(grey(np.where(DRAWN == 1, 255, 0).astype(np.uint8))),
        "as a black-and-white mask has",
    ),
    "black and white in a ramp": (
        lambda: file(indexed(np.where(DRAWN == 1, 255, 0).astype(np.uint8), GREYS)),
        "as a black-and-white mask has",
    ),
    "one bit": (
        lambda: file(grey(np.where(DRAWN == 1, 255, 0).astype(np.uint8), "1")),
        "1-bit greyscale",
    ),
    "two bits": (lambda: file(grey(DRAWN), bits=2), "2-bit greyscale"),
    "16 bits": (lambda: file(Image.fromarray(DRAWN.astype(np.uint16))), "16-bit greyscale"),
    "rgb of ids": (
        lambda: file(grey(DRAWN, "RGB")),
        r"mode RGB, whose colour \(0, 0, 0\) on 4 pix",
    ),
    "rgb with a smooth border": (
        lambda: file(colored(DRAWN).resize((8, 6), Image.Resampling.BILINEAR).crop((0, 0, 4, 3))),
        "belongs to no class",
    ),
    "rgba with a clear pixel": (lambda: file(clear(colored(DRAWN))), "1 transparent pixels"),
    "rgb with a transparent colour": (
        lambda: file(colored(DRAWN), transparency=CLASSES.colors[0]),
        "4 transparent pixels",
    ),
    "grey and alpha": (lambda: file(grey(DRAWN, "LA")), "mode LA .grey with transparency.; save"),
    "a transparent index": (
        lambda: file(own_palette([0, 1, 2]), transparency=0),
        "4 transparent pixels",
    ),
    "a transparent grey": (lambda: file(grey(DRAWN), transparency=1), "4 transparent pixels"),
    "jpeg": (lambda: file(grey(DRAWN), format="JPEG"), "a JPEG file, whose pixel values"),
    "webp": (lambda: file(colored(DRAWN), format="WEBP"), "a WEBP file, whose pixel values"),
    "tiff": (lambda: file(grey(DRAWN), format="TIFF"), "a TIFF file; save"),
    "gif": (lambda: file(grey(DRAWN), format="GIF"), "a GIF file; save"),
    "several pages": (several_pages, "2 pictures in one file"),
    "orientation behind the pixels": (
        lambda: late_orientation(file(grey(DRAWN))),
        r"orientation tag \(6\)",
    ),
    "an unknown id": (lambda: file(grey(np.full((3, 4), 7, np.uint8))), "id 7 on 12 pixels"),
    "another size": (lambda: file(grey(DRAWN[:2])), "2x4 pixels, expected 3x4"),
    "a bomb": (lambda: with_size(file(grey(DRAWN)), 20000), "20000x20000 pixels, expected 3x4"),
    "empty": (lambda: b"", "an empty file"),
    "text": (lambda: b"hello", "not a readable image"),
    "cut": (lambda: file(grey(DRAWN))[:-20], "cut off"),
    "a wrong length": (
        lambda: file(grey(DRAWN)).replace(b"\x00\x00\x00\x0dIHDR", b"\x00\x00\x00\x01IHDR"),
        "checksum",
    ),
    "a flipped bit": (lambda: flipped(file(grey(NOISE))), "checksum of its chunk b'IDAT' is wrong"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_rest_is_refused_with_a_reason(name):
    make, words = BAD[name]
    with pytest.raises(DataError, match=words):
        read(make())


def test_a_color_of_two_classes_is_refused_but_in_the_classes_own_palette():
    twins = Classes(names=("a", "b", "c"), colors=((9, 9, 9), (9, 9, 9), (1, 2, 3)))
    assert read(file(indexed(DRAWN, list(twins.colors))), classes=twins).tolist() == DRAWN.tolist()
    with pytest.raises(DataError, match="several classes"):
        read(file(indexed(DRAWN, [(1, 2, 3), (9, 9, 9), (9, 9, 9)])), classes=twins)


def test_black_and_white_is_no_mask_in_a_region_that_is_no_box():
    place = Place(box=WHOLE.box, context=WHOLE.context, region=DRAWN == 0)
    outside = np.where(DRAWN == 0, 0, 255).astype(np.uint8)
    assert (
        read(file(grey(outside)), place=place) == outside
    ).all()  # 0 in the region, nothing around it
    with pytest.raises(DataError, match="black-and-white"):
        read(file(grey(255 - outside)), place=place)


def test_pixel_data_of_another_length_is_refused():
    data = file(grey(DRAWN))
    rows = zlib.compress(b"\x00" * 5 * 2)  # two rows, the header says three
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    chunk = (
        struct.pack(">I", len(rows))
        + b"IDAT"
        + rows
        + struct.pack(">I", zlib.crc32(b"IDAT" + rows))
    )
    short = data[:start] + chunk + data[end:]
    check_png(short)
    with pytest.raises(DataError, match="ends before 3x4 pixels"):
        read(short)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[" + b"1" * 5000 + b"]", "not JSON"),
        (b"[NaN]", "class nan is not known"),
        (b"[1e999]", "class inf is not known"),
        (b"[true]", "class True is not known"),
        (b"[[0]]", r"class \[0\] is not known"),
        (b"[-1]", "class -1 is not known"),
        (b'{"classes": [0]}', "a dict; write a list"),
        (b'"disc"', "a str; write a list"),
        (b" " * (1 << 21) + b"[]", "2097154 bytes"),
        (json.dumps(["x" * 9999]).encode(), "is not known"),
    ],
)
def test_wrong_lists_of_classes_say_why(data, words):
    with pytest.raises(DataError, match=words) as caught:
        read(data, kind="classes")
    assert len(str(caught.value)) < 700


def test_names_are_the_same_however_their_accents_are_stored():
    accents = Classes(names=("caf\u00e9", "b"), colors=CLASSES.colors[:2])
    assert read('["cafe\u0301"]'.encode(), kind="classes", classes=accents) == (0,)
    assert read(b'\xef\xbb\xbf["b", 0, "b"]', kind="classes", classes=accents) == (0, 1)


@pytest.mark.parametrize("num_pixels", [1, 2])
def test_a_region_holds_no_more_classes_than_pixels(num_pixels):
    region = np.zeros((3, 4), bool)
    region.flat[:num_pixels] = True
    place = Place(box=WHOLE.box, context=WHOLE.context, region=region)
    assert read(json.dumps(list(range(num_pixels))).encode(), kind="classes", place=place) == tuple(
        range(num_pixels)
    )
    with pytest.raises(
        DataError, match=rf"{num_pixels + 1} classes in a region of {num_pixels} pixel"
    ):
        read(json.dumps(list(range(num_pixels + 1))).encode(), kind="classes", place=place)

"""Masks as tools write them: certain ids, or a refusal whose remedy is right."""

import io

import numpy as np
import pytest
from helpers.pictures import FRAMES, chunk, png, saved, tiff, write
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.types import Box
from ray_al.datasets.mask_files import open_mask_bytes
from ray_al.datasets.masks import MaskDecoder, read_mask, read_mask_size

IDS = np.array([[0, 1, 2, 2, 1, 0], [2, 2, 1, 0, 0, 1]], np.uint8)
BIG = np.repeat(np.repeat(IDS, 16, 0), 16, 1)
COLORS = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
PAINTED = np.array(COLORS, np.uint8)[BIG]
PLAIN = MaskDecoder(num_classes=3)
PAINT = MaskDecoder(num_classes=3, encoding="colors", colors=COLORS)
NEAREST = MaskDecoder(num_classes=3, encoding="colors", colors=COLORS, nearest_color=True)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def array_header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def indexed(ids, palette):
    picture = Image.fromarray(ids).convert("P")
    picture.putdata(ids.ravel().tolist())
    picture.putpalette(np.array(palette, np.uint8).ravel().tolist())
    return picture


def packed_rows(ids, bits):
    """Rows of a PNG with `bits` a pixel."""
    texts = ["".join(f"{value:0{bits}b}" for value in row) for row in ids]
    return [
        int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
        for text in texts
    ]


def with_alpha(values, alpha):
    return Image.fromarray(np.dstack([values, np.full(values.shape[:2], alpha, np.uint8)]))


RIGHT = {
    "2-bit grey PNG": (png(2, 0, packed_rows(IDS, 2)), PLAIN, IDS),
    "4-bit grey PNG": (png(4, 0, packed_rows(IDS, 4)), PLAIN, IDS),
    "4-bit indexed PNG": (
        png(4, 3, packed_rows(IDS, 4), chunk(b"PLTE", bytes(range(48)))),
        PLAIN,
        IDS,
    ),
    "1-bit PNG": (png(1, 0, packed_rows(IDS.clip(0, 1), 1)), PLAIN, IDS.clip(0, 1)),
    "16-bit PNG": (saved(Image.fromarray(IDS.astype(np.uint16)), "PNG"), PLAIN, IDS),
    "32-bit TIFF": (tiff([IDS.astype(np.uint32)]), PLAIN, IDS),
    "grey and opaque alpha": (saved(with_alpha(IDS, 255), "PNG"), PLAIN, IDS),
    "three equal channels": (
        saved(Image.fromarray(np.repeat(IDS[..., None], 3, 2)), "PNG"),
        PLAIN,
        IDS,
    ),
    "three equal channels and opaque alpha": (
        saved(with_alpha(np.repeat(IDS[..., None], 3, 2), 255), "PNG"),
        PLAIN,
        IDS,
    ),
    "an index called transparent": (saved(indexed(IDS, COLORS), "PNG", transparency=0), PLAIN, IDS),
    "Fortran's order": (npy(np.asfortranarray(IDS.astype(np.int64))), PLAIN, IDS),
    "big-endian numbers": (npy(IDS.astype(">i4")), PLAIN, IDS),
    "flags": (npy(IDS > 1), PLAIN, (IDS > 1).astype(int)),
    "colours": (saved(Image.fromarray(PAINTED), "PNG"), PAINT, BIG),
    "colours as an array": (npy(PAINTED), PAINT, BIG),
    "colours by a palette": (saved(indexed(BIG, COLORS), "PNG"), PAINT, BIG),
    "colours and opaque alpha": (saved(with_alpha(PAINTED, 255), "PNG"), PAINT, BIG),
    "grey levels as colours": (
        saved(Image.fromarray(IDS * 100), "PNG"),
        MaskDecoder(num_classes=3, encoding="colors", colors=((0,) * 3, (100,) * 3, (200,) * 3)),
        IDS,
    ),
    "white of one bit as a colour": (
        png(1, 0, packed_rows(IDS.clip(0, 1), 1)),
        MaskDecoder(num_classes=2, encoding="colors", colors=((0,) * 3, (255,) * 3)),
        IDS.clip(0, 1),
    ),
    "a class that is ignored": (
        saved(Image.fromarray(IDS), "PNG"),
        MaskDecoder(num_classes=2, ignore_ids=(0,), id_map={1: 0, 2: 1}),
        np.where(IDS, IDS - 1, 255),
    ),
    "a colour that is ignored": (
        saved(Image.fromarray(PAINTED), "PNG"),
        MaskDecoder(
            num_classes=2, encoding="colors", colors=COLORS, ignore_ids=(1,), id_map={0: 0, 2: 1}
        ),
        np.array([0, 255, 1])[BIG],
    ),
    "JPEG in colours": (saved(Image.fromarray(PAINTED), "JPEG", quality=90), NEAREST, BIG),
    "smooth borders": (
        saved(
            Image.fromarray(PAINTED).resize((192, 64), Image.Resampling.BICUBIC).resize((96, 32)),
            "PNG",
        ),
        NEAREST,
        BIG,
    ),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_ids_come_out_right(kind, tmp_path):
    data, decoder, expected = RIGHT[kind]
    path = write(tmp_path / "m.png", data)
    ids = read_mask(path, decoder)
    assert ids.dtype == np.uint8
    assert read_mask_size(path) == expected.shape
    if kind in ("JPEG in colours", "smooth borders"):  # a border may move by a pixel
        assert (ids != expected).mean() < 0.02
        assert set(np.unique(ids)) == {0, 1, 2}
    else:
        assert ids.tolist() == expected.tolist()


WHITE = np.where((BIG == 0)[..., None], np.uint8(255), PAINTED)
REFUSED = {
    "an id without a class": (
        saved(Image.fromarray(IDS * 64), "PNG"),
        PLAIN,
        r"id 64 on 4 pixels is no class \(0 to 2\).*are 0, 64, 128;.*mask_values: \{0: NAME, 64",
    ),
    "floats": (tiff([IDS.astype(np.float32)]), PLAIN, "floating-point"),
    "floats in an array": (npy(IDS.astype(float)), PLAIN, "type float64"),
    "an array of objects": (npy(IDS.astype(object), allow_pickle=True), PLAIN, "type object"),
    "one-hot": (npy(np.eye(3, dtype=np.uint8)[IDS]), PLAIN, "argmax"),
    "one-hot of many": (npy(np.eye(5, dtype=np.uint8)[IDS]), PLAIN, "argmax"),
    "one-hot first": (
        npy(np.moveaxis(np.eye(3, dtype=np.uint8)[IDS], -1, 0)),
        PLAIN,
        r"shape \(3, 2, 6\)",
    ),
    "one-hot pages": (
        saved(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]),
        PLAIN,
        "several pages",
    ),
    "animation": (
        saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
        PLAIN,
        "several pages",
    ),
    "16-bit colours": (tiff([PAINTED.astype(np.uint16)]), PAINT, "3 channels of 16 bits"),
    "infrared": (tiff([np.dstack([PAINTED, BIG])]), PAINT, "4 channels"),
    "0 is white": (tiff([IDS], photometric=0), PLAIN, "0 is white"),
    "half transparent ids": (
        saved(with_alpha(IDS, 128), "PNG"),
        PLAIN,
        "12 pixels are transparent",
    ),
    "transparent background": (saved(with_alpha(WHITE, 0), "PNG"), NEAREST, "transparent"),
    "a transparent colour": (
        saved(indexed(IDS, COLORS), "PNG", transparency=0),
        NEAREST,
        "4 pixels are transparent",
    ),
    "JPEG ids": (saved(Image.fromarray(IDS), "JPEG"), PLAIN, "lossy JPEG"),
    "JPEG colours": (saved(Image.fromarray(PAINTED), "JPEG"), PAINT, "lossy JPEG"),
    "lossy WebP ids": (saved(Image.fromarray(BIG).convert("RGB"), "WEBP"), PLAIN, "lossy JPEG"),
    "JPEG in a TIFF": (
        saved(Image.fromarray(BIG), "TIFF", compression="jpeg"),
        PLAIN,
        "lossy JPEG",
    ),
    "white borders": (
        saved(Image.fromarray(WHITE), "PNG"),
        NEAREST,
        r"\(255, 255, 255\).*nor near a mixture.*'no label'.*mask_values: .*255",
    ),
    "colours, not ids": (saved(Image.fromarray(PAINTED), "PNG"), PLAIN, "mask_encoding=colors"),
    "numbers beyond a byte": (
        saved(Image.fromarray(IDS.astype(np.uint16) * 300), "PNG"),
        PAINT,
        "from 0 to 600",
    ),
    "cut off": (saved(Image.fromarray(PAINTED), "PNG")[:-40], PAINT, "cannot be read"),
    "empty array": (b"\x93NUMPY", PLAIN, "cannot be read"),
    "array cut off": (npy(IDS)[:-3], PLAIN, "9 bytes of values"),
    "array header of nonsense": (
        b"\x93NUMPY\x01\0\x10\0{'descr: '<u1', \n",
        PLAIN,
        "cannot be read",
    ),
    "array larger than any picture": (
        array_header((10**9, 10**9)),
        PLAIN,
        r"shape \(1000000000, 1000000000\), more than",
    ),
    "array of a negative size": (array_header((-2, -6)), PLAIN, "cannot be read|shape"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_uncertain_is_refused(kind, tmp_path):
    data, decoder, words = REFUSED[kind]
    with pytest.raises(DataError, match=rf"m\.png.*{words}"):
        read_mask(write(tmp_path / "m.png", data), decoder)


def test_an_array_is_not_read_for_its_size(tmp_path):
    path = write(tmp_path / "m.npy", array_header((2_000_000, 60)))
    assert read_mask_size(path) == (2_000_000, 60)
    with pytest.raises(DataError, match="0 bytes of values"):
        read_mask(path, PLAIN)


def test_a_palette_in_another_order_than_the_classes_is_refused(tmp_path):
    strict = MaskDecoder(num_classes=3, colors=COLORS, checks_palette=True)
    path = write(tmp_path / "m.png", saved(indexed(IDS, COLORS[::-1]), "PNG"))
    with pytest.raises(
        DataError,
        match=r"number 0 has the colour \(0, 0, 255\).*class 2.*mask_encoding=colors",
    ):
        read_mask(path, strict)
    assert read_mask(path, PAINT).tolist() == (2 - IDS).tolist()
    assert (
        read_mask(write(tmp_path / "m.png", saved(indexed(IDS, COLORS), "PNG")), strict).tolist()
        == IDS.tolist()
    )


def test_the_whole_mask_is_believed_or_none_of_it(tmp_path):
    ids = IDS.copy()
    ids[1, 5] = 9
    path, box = (
        write(tmp_path / "m.png", saved(Image.fromarray(ids), "PNG")),
        Box(top=0, left=0, bottom=1, right=3),
    )
    assert read_mask(path, PLAIN, box=box).tolist() == [[0, 1, 2]]
    with pytest.raises(DataError, match="id 9"):
        read_mask(path, MaskDecoder(num_classes=3, whole=True), box=box)
    assert read_mask(
        write(tmp_path / "m.png", saved(Image.fromarray(IDS), "PNG")),
        MaskDecoder(num_classes=3, whole=True),
        box=box,
    ).tolist() == [[0, 1, 2]]


def test_an_opened_mask_keeps_palette_and_numbers():
    opened = open_mask_bytes(saved(indexed(IDS, COLORS), "PNG"), "m.png")
    assert opened.values.tolist() == IDS.tolist()
    assert [tuple(color) for color in opened.palette[:3].tolist()] == list(COLORS)
    assert not opened.is_lossy
    assert open_mask_bytes(saved(Image.fromarray(PAINTED), "JPEG"), "m.jpg").is_lossy


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "npy"])
def test_damaged_files_are_refused_or_read_as_a_picture(kind, tmp_path):
    """Whatever bits flip or are missing, nothing but DataError gets out."""
    from ray_al.datasets.images import read_image, read_image_size

    whole = (
        npy(IDS)
        if kind == "npy"
        else saved(Image.fromarray(PAINTED if kind == "JPEG" else BIG), kind)
    )
    rng, path = np.random.default_rng(sum(kind.encode())), tmp_path / "x.png"
    for turn in range(9 if kind == "JPEG" else 30):  # a JPEG of a damaged size is a large picture
        data = bytearray(whole[: rng.integers(0, len(whole))] if turn % 3 == 0 else whole)
        for position in rng.integers(0, max(1, min(len(data), 300)), 4 if data else 0):
            data[position] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        for read in (
            read_image,
            read_image_size,
            lambda uri: read_mask(uri, NEAREST),
            read_mask_size,
        ):
            try:
                read(str(path))
            except DataError as error:
                assert "x.png" in str(error)


@pytest.mark.parametrize("how", ["smooth", "JPEG"])
def test_a_border_does_not_become_a_third_class(how, tmp_path):
    """Half red and half blue is the colour of the third class, which occurs nowhere."""
    colors = ((255, 0, 0), (0, 0, 255), (128, 0, 128))
    ids = np.zeros((48, 64), np.uint8)
    ids[:, 21:] = 1
    ids[30:41, 7:50] ^= 1
    picture = Image.fromarray(np.array(colors, np.uint8)[ids])
    if how == "smooth":
        picture = picture.resize((128, 96), Image.Resampling.BICUBIC).resize(
            (64, 48), Image.Resampling.BILINEAR
        )
    data = saved(
        picture,
        *(("PNG",) if how == "smooth" else ("JPEG",)),
        **({} if how == "smooth" else {"quality": 90}),
    )
    found = read_mask(
        write(tmp_path / "m.png", data),
        MaskDecoder(num_classes=3, encoding="colors", colors=colors, nearest_color=True),
    )
    assert set(np.unique(found)) == {0, 1}
    assert (found != ids).mean() < 0.02


def test_white_specks_are_no_lossy_noise_in_a_png(tmp_path):
    painted = PAINTED.copy()
    painted[5, 5] = 255
    with pytest.raises(DataError, match=r"\(255, 255, 255\) on 1 pixels"):
        read_mask(write(tmp_path / "m.png", saved(Image.fromarray(painted), "PNG")), NEAREST)


def test_thin_things_in_their_own_colour_stay(tmp_path):
    """One smooth pixel elsewhere has the whole mask decoded by the nearest colours."""
    painted = np.zeros((40, 40, 3), np.uint8)
    painted[:, 20:] = COLORS[1]
    painted[4:34, 10] = COLORS[2]
    painted[0, 19] = (128, 0, 0)
    found = read_mask(write(tmp_path / "m.png", saved(Image.fromarray(painted), "PNG")), NEAREST)
    assert np.array_equal(np.argwhere(found == 2), [[row, 10] for row in range(4, 34)])


def test_a_number_beyond_the_palette_is_damage_and_no_black(tmp_path):
    ids = np.array([[0, 1], [2, 7]], np.uint8)
    data = saved(indexed(ids, COLORS), "PNG", bits=8)
    with pytest.raises(
        DataError, match=r"number \d in a palette of 3 colours; the file is damaged"
    ):
        read_mask(write(tmp_path / "m.png", data), PAINT)

"""Damaged and odd masks and lists: each is refused in words, or read as what it shows."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers.pictures import npy as array
from helpers.pictures import saved
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, DataError, ReadError
from ray_al.datasets import open_dataset
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.masks import decode_mask, read_mask, read_mask_size

PLAIN = MaskDecoder(num_classes=3)
COLORS = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
PAINT = MaskDecoder(num_classes=3, encoding="colors", colors=COLORS)
IDS = np.resize(np.array([0, 1, 2, 2, 1], np.uint8), (9, 11))


def indexed(ids):
    picture = Image.fromarray(ids)
    picture.putpalette([value for color in COLORS for value in color])
    return picture


GREY = Image.fromarray(IDS)
PAINTED = Image.fromarray(np.array(COLORS, np.uint8)[IDS])
FORMS = {
    "png": saved(GREY, "PNG"),
    "indexed.png": saved(indexed(IDS), "PNG"),
    "colours.png": saved(PAINTED, "PNG"),
    "tif": saved(GREY, "TIFF"),
    "lzw.tif": saved(GREY, "TIFF", compression="tiff_lzw"),
    "bmp": saved(GREY, "BMP"),
    "webp": saved(PAINTED, "WEBP", lossless=True),
    "npy": array(IDS),
}


def chunk(kind, data):
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc


def png_header(height, width, depth=8, color=0):
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 50))


def damaged(data):
    """Contents by what was done to them."""
    half = len(data) // 2
    yield "empty", b""
    for length in (1, 4, 8, 20, 40, half, len(data) - 12, len(data) - 1):
        yield f"first {length} bytes", data[:length]
    yield "zeros", bytes(len(data))
    yield "zeros behind", data[:half] + bytes(len(data) - half)
    yield "its end twice", data[:half] + data[half:] * 2
    yield "bytes in front", b"\n" + data
    yield "as text", data.decode("latin-1").encode()
    for place in (5, 17, 21, 25, half, len(data) - 6):
        yield f"byte {place} flipped", data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


DAMAGED = {
    f"{form}: {what}": content for form, data in FORMS.items() for what, content in damaged(data)
}
ODD = {
    "text": b"hello\n",
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "zip": b"PK\x03\x04" + bytes(40),
    "pdf": b"%PDF-1.4\n",
    "pickle": b"\x80\x04K\x01.",
    "huge": png_header(2**31 - 1, 2**31 - 1),
    "large": png_header(60_000, 60_000),
    "no rows": png_header(0, 11),
    "unknown depth": png_header(9, 11, depth=3),
    "unknown colours": png_header(9, 11, color=5),
    "gif of two pictures": saved(GREY, "GIF", save_all=True, append_images=[PAINTED.convert("P")]),
    "jpeg": saved(GREY, "JPEG"),
    "progressive jpeg": saved(PAINTED, "JPEG", progressive=True),
    "lossy webp": saved(PAINTED, "WEBP"),
    "jpeg 2000": saved(Image.fromarray(np.resize(IDS, (64, 64))), "JPEG2000", irreversible=True),
    "lab": saved(PAINTED.convert("LAB"), "TIFF"),
    "floats": saved(Image.fromarray(IDS.astype(np.float32)), "TIFF"),
    "negative": array(IDS.astype(np.int16) - 1),
    "text in an array": array(IDS.astype(str)),
    "complex": array(IDS.astype(complex)),
    "dates": array(IDS.astype("datetime64[D]")),
    "one number": array(np.uint8(1)),
    "a row": array(IDS[0]),
    "no pixels": array(IDS[:0]),
    "several masks": array(np.stack([IDS] * 4)),
    "an archive": b"PK\x03\x04" + array(IDS),
}


@pytest.mark.parametrize("content", [pytest.param(DAMAGED[key], id=key) for key in DAMAGED])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_mask_is_refused_or_read_as_it_was(content, tmp_path):
    path = tmp_path / "m.png"
    path.write_bytes(content)
    for decoder in (PLAIN, PAINT):
        try:
            ids = decode_mask(content, "m.png", decoder).ids
        except DataError as error:
            assert str(error).startswith("m.png: ")
        else:
            assert is_what_it_shows(content, ids)
        with pytest.raises((DataError, ReadError, _Fine)):
            read_mask_size(str(path))
            raise _Fine


class _Fine(Exception):
    """Nothing was wrong."""


def is_what_it_shows(content, ids):
    """Whether ids are those of the undamaged file, or what a picture viewer shows as well."""
    if ids.shape == IDS.shape and np.array_equal(ids, IDS):
        return True
    picture = Image.open(io.BytesIO(content))
    shown = np.array(picture.convert("RGB" if picture.mode == "P" else picture.mode))
    return shown.shape[:2] == ids.shape


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore")
def test_an_odd_mask_is_refused(kind, tmp_path):
    path = tmp_path / "m.png"
    path.write_bytes(ODD[kind])
    for decoder in (PLAIN, PAINT):
        with pytest.raises(DataError, match=r"m\.png"):
            read_mask(str(path), decoder)


NAMES = ("a", "b", "c")
LISTS = {
    "empty": b"",
    "blank lines": b"\n \n\t\n",
    "a mark alone": b"\xef\xbb\xbf",
    "UTF-16 without a mark": "a\nb\n".encode("utf-16-le"),
    "UTF-32": "a\nb\n".encode("utf-32"),
    "latin-1": "stra\xdfe\n".encode("latin-1"),
    "zeros": bytes(100),
    "a picture": FORMS["png"],
    "unknown names": b"x\ny\n",
    "some unknown names": b"a\nx\n",
    "a path out of the root": b"../images/a\n",
    "an absolute path": b"/images/a.png\n",
    "a pattern": b"*.png\n",
    "a folder": b"images/\n",
    "a long line": b"a" * 100_000 + b"\n",
    "three columns of other files": b"a b c\n",
    "json": b'["a", "b"]\n',
    "csv with a header": b"image,mask\na.png,a.png\n",
    "a mask that is missing": b"a.png masks/x.png\n",
    "quotes": b'"a"\n',
    "a comment": b"# all\na\n",
}
FINE_LISTS = {
    "a name twice": b"a\na\n",
    "no end of line": b"a\nb",
    "old Macs": b"a\rb\r",
    "CRLF": b"a.png\r\nb.png\r\n",
    "backslashes": b"images\\a.png\n.\\b.png\n",
    "tabs": b"images/a.png\tmasks/a.png\nb\tb\n",
    "commas": b"images/a.png,masks/a.png\n",
    "another suffix": b"a.jpg\nb.jpg\n",
    "UTF-16": "\ufeffa\nb\n".encode("utf-16-le"),
    "UTF-16 of the other kind": "\ufeffa\nb\n".encode("utf-16-be"),
    "UTF-8 with a mark": b"\xef\xbb\xbfa\n",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for number, name in enumerate((*NAMES, "v")):
        for folder, picture in (("images", PAINTED), ("masks", GREY)):
            (root / folder).mkdir(exist_ok=True)
            picture.rotate(number).save(root / folder / f"{name}.png")
    (root / "val.txt").write_text("v\n")
    return root


def listed(root, content):
    """The pool's images by a list, and the names of the errors found in it."""
    (root / "train.txt").write_bytes(content)
    data = {"dataset": "folder", "root": str(root), "class_names": NAMES}
    dataset = open_dataset(parse_config({"data": data}, source="test").data)
    errors = [finding.name for finding in dataset.findings if finding.severity == "error"]
    return [image.image_id for image in dataset.splits["train"]], errors


@pytest.mark.parametrize("kind", LISTS)
def test_an_odd_list_is_refused_with_its_name(kind, root):
    try:
        _, errors = listed(root, LISTS[kind])
    except ConfigError as error:
        assert "train" in str(error) and "\n" not in str(error)
    else:
        assert errors == ["unmatched_names"]


@pytest.mark.parametrize("kind", FINE_LISTS)
def test_lists_as_people_write_them(kind, root):
    images, errors = listed(root, FINE_LISTS[kind])
    assert images in (["images/a.png"], ["images/a.png", "images/b.png"]) and not errors

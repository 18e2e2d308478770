"""Damaged and odd image files of every kind: refused in one message, never a traceback."""

import io
import struct
import warnings

import numpy as np
import pytest
from helpers.pictures import tiff_of as tiff
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import RayALError
from ray_al.datasets import open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.images import decode_image, read_image_size
from ray_al.datasets.pixels import PixelRule

NUM_EACH = 16
RNG = np.random.default_rng(7)
WIDE = RNG.integers(0, 65_536, (24, 32, 4)).astype(np.uint16)
RULES = (PixelRule(), PixelRule(channels=(0, 1, 2, 3)), PixelRule(value_range=(0, 1)))


def picture(values, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def array(values, save=np.save):
    buffer = io.BytesIO()
    save(buffer, values)
    return buffer.getvalue()


BYTES = (WIDE[..., :3] >> 8).astype(np.uint8)
WHOLE = {
    "png": picture(BYTES, "PNG"),
    "wide.png": picture(WIDE[..., 0], "PNG"),
    "jpg": picture(BYTES, "JPEG"),
    "webp": picture(BYTES, "WEBP", lossless=True),
    "bmp": picture(BYTES, "BMP"),
    "gif": picture(BYTES[..., 0], "GIF"),
    "tif": picture(BYTES, "TIFF", compression="tiff_lzw"),
    "bands.tif": tiff(WIDE, photometric="minisblack", planarconfig="contig"),
    "packed.tif": tiff(WIDE, photometric="rgb", compression="zlib"),
    "float.tif": tiff((WIDE / 65_535).astype(np.float32), photometric="minisblack"),
    "npy": array(WIDE),
    "npz": array(WIDE, np.savez_compressed),
}


def damaged(data, rng):
    """One of: cut off, zeroed, bytes changed, a huge number in the header, doubled, text before."""
    way, place = int(rng.integers(6)), int(rng.integers(4, len(data)))
    if way == 0:
        return data[:place]
    if way == 1:
        return data[:place] + b"\0" * (len(data) - place)
    if way == 2:
        changed = bytearray(data)
        for at in rng.integers(0, min(len(data), 400), 6):
            changed[at] = int(rng.integers(256))
        return bytes(changed)
    if way == 3:
        at = int(rng.integers(4, min(len(data) - 4, 160)))
        return data[:at] + struct.pack("<I", 0x7FFFFFFF) + data[at + 4 :]
    if way == 4:
        return data[:place] + data
    return b"not an image\n" + data


ODD = {
    "empty": b"",
    "zeros": b"\0" * 500,
    "text": b"name,value\n1,2\n",
    "html": b"<html>404</html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "pdf": b"%PDF-1.4\n",
    "zip": b"PK\3\4" + b"\0" * 40,
    "numpy": b"\x93NUMPY\1\0\xff\xff",
    "tiff": b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40,
    "big tiff": b"II+\0" + b"\xff" * 60,
}


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_images_are_refused_or_read(kind, tmp_path):
    path = tmp_path / "x.png"
    for number in range(NUM_EACH):
        data = damaged(WHOLE[kind], np.random.default_rng([number, len(kind), len(WHOLE[kind])]))
        path.write_bytes(data)
        for rule in RULES:
            assert_read_or_refused(
                lambda rule=rule, data=data: decode_image(data, str(path), rule), path
            )
            assert_read_or_refused(lambda rule=rule: read_image_size(str(path), rule), path)


def assert_read_or_refused(read, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except RayALError as error:
            assert str(error).startswith(f"{path}: ")


def test_a_check_names_every_odd_file_and_raises_nothing(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "masks" / split).mkdir(parents=True)
    mask = picture(np.zeros((24, 32), np.uint8), "PNG")
    names = []
    for number, (name, data) in enumerate([*ODD.items(), *WHOLE.items()]):
        suffix = ("png", "jpg", "tif", "npy", "npz", "webp")[number % 6]
        stem = name.replace(".", "_").replace(" ", "_")
        names.append(stem)
        (tmp_path / f"images/train/{stem}.{suffix}").write_bytes(data)
        (tmp_path / f"masks/train/{stem}.png").write_bytes(mask)
    (tmp_path / "images/val/good.png").write_bytes(WHOLE["png"])
    (tmp_path / "masks/val/good.png").write_bytes(mask)
    values = {"dataset": "folder", "root": str(tmp_path), "class_names": ["a"]}
    config = parse_config({"name": "x", "data": values}, source="test")
    report = check_dataset(open_dataset(config.data))
    assert not report["ok"]
    unreadable = " ".join(report["splits"]["train"]["unreadable"])
    for name in ODD:
        assert f"/{name.replace(' ', '_')}." in unreadable
    # The name of a file says nothing: whole 8-bit images are read under any suffix.
    for name in ("png", "jpg", "webp", "bmp", "tif", "wide_png"):
        assert f"/{name}." not in unreadable

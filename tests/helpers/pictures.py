"""Write pictures of the kinds that tools write, byte by byte where no library would."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)


def tiff(
    pages: Sequence[np.ndarray],
    *,
    photometric: int | None = None,
    extra: int = 0,
    subfiles: Sequence[int] = (),
) -> bytes:
    """A plain TIFF: arrays (H, W, C) of any type, a page each."""
    out, link = bytearray(b"II*\0\0\0\0\0"), 4
    for number, page in enumerate(pages):
        page = np.ascontiguousarray(page if page.ndim == 3 else page[..., None])
        height, width, channels = page.shape
        extras = channels - (3 if channels >= 3 else 1)
        data_at = len(out)
        out += page.tobytes()
        places = {}
        for tag, values in (
            (258, [page.dtype.itemsize * 8] * channels),
            (339, [{"u": 1, "i": 2, "f": 3}[page.dtype.kind]] * channels),
        ):
            places[tag] = (values, len(out))
            out += struct.pack(f"<{channels}H", *values)
        places[338] = ([extra] * extras, len(out))
        out += struct.pack(f"<{extras}H", *[extra] * extras)
        tags = {
            254: (4, [subfiles[number] if subfiles else 0]),
            256: (4, [width]),
            257: (4, [height]),
            259: (3, [1]),
            262: (3, [photometric if photometric is not None else (2 if channels >= 3 else 1)]),
            273: (4, [data_at]),
            277: (3, [channels]),
            278: (4, [height]),
            279: (4, [page.nbytes]),
            284: (3, [1]),
            **{tag: (3, values) for tag, (values, _) in places.items() if values},
        }
        at = len(out)
        struct.pack_into("<I", out, link, at)
        out += struct.pack("<H", len(tags))
        for tag, (kind, values) in sorted(tags.items()):
            if len(values) > 2 or (kind == 4 and len(values) > 1):
                value = struct.pack("<I", places[tag][1])
            else:
                value = struct.pack("<" + {3: "H", 4: "I"}[kind] * len(values), *values).ljust(
                    4, b"\0"
                )
            out += struct.pack("<HHI", tag, kind, len(values)) + value
        link = len(out)
        out += b"\0\0\0\0"
    return bytes(out)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    """Return the file that NumPy writes."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def tiff_of(values: np.ndarray, **options: Any) -> bytes:
    """Return the file that tifffile writes."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, color: int, rows: Sequence[bytes], *chunks: bytes) -> bytes:
    """A PNG of raw rows, each without its filter byte."""
    header = struct.pack(">IIBBBBB", PIXELS.shape[1], len(rows), depth, color, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", body), chunk(b"IEND", b"")]
    )


FRAMES = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]


def write(path: Path, data: bytes) -> str:
    """Write a file and return its path."""
    path.write_bytes(data)
    return str(path)

"""Read and check PNG files without decoding them.

Pillow ignores some checksums, and stretches values of fewer than 8 bits.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ray_al.core.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREYSCALE, RGB, INDEXED, GREYSCALE_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREYSCALE: 1, RGB: 3, INDEXED: 1, GREYSCALE_ALPHA: 2, RGB_ALPHA: 4}
"""Number of channels by colour type."""
BIT_DEPTH_AT = 24
"""Offset in a PNG file of the number of bits of one value."""
_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True, kw_only=True)
class PngHeader:
    """The header of a PNG file.

    Attributes:
        height, width: in pixels.
        bits: of one value: 1, 2, 4, 8 or 16.
        color_type: one of the keys of `CHANNELS`.
    """

    height: int
    width: int
    bits: int
    color_type: int

    @property
    def row_bits(self) -> int:
        """Bits of the values of one row of pixels."""
        return self.width * self.bits * CHANNELS[self.color_type]


def is_png(data: bytes) -> bool:
    """Return whether a file begins as a PNG file does."""
    return data.startswith(SIGNATURE)


def check_png(data: bytes) -> PngHeader:
    """Compare every checksum of a PNG file and return its header.

    Pillow silently reads a file whose pixel data was changed, as long as it still decompresses.

    Raises:
        DataError: the file is cut off, or a chunk does not match its checksum.
    """
    # Only the header is kept: the pixels of a large picture would fill the memory twice.
    return _header([(kind, b"" if kind == b"IDAT" else content) for kind, content in _chunks(data)])


def check_png_pixels(data: bytes) -> PngHeader:
    """Check a PNG file as `check_png` does, and that its pixel data fills the size in its header.

    The pixel data is decompressed once more for this, but never beyond that size.

    Raises:
        DataError: as `check_png`, or the pixel data is damaged.
    """
    chunks = list(_chunks(data))
    header = _header(chunks)
    num_bytes = header.height * ((header.row_bits + 7) // 8 + 1)
    most = 2 * num_bytes + 64  # an interlaced file has more and shorter rows
    unpack = zlib.decompressobj()
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    try:
        pixels = unpack.decompress(packed, most)
    except zlib.error as error:
        raise DataError(f"its pixel data is damaged ({error}); save it again") from None
    if not unpack.eof or len(pixels) < header.height * header.row_bits // 8:
        raise DataError(
            f"its pixel data ends before {header.height}x{header.width} pixels are there, or "
            "continues after them; save it again"
        )
    return header


def _header(chunks: list[tuple[bytes, bytes]]) -> PngHeader:
    headers = [content for kind, content in chunks if kind == b"IHDR"]
    if chunks[0][0] != b"IHDR" or len(headers) != 1 or len(headers[0]) != 13:
        raise DataError("the PNG file does not begin with its one header; save it again")
    width, height, bits, color_type = struct.unpack(">IIBB", headers[0][:10])
    if color_type not in CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise DataError(
            f"its PNG header names colour type {color_type} with {bits} bits, which do not exist; "
            "save it again"
        )
    return PngHeader(height=height, width=width, bits=bits, color_type=color_type)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, content) of each chunk, up to IEND."""
    position, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if len(data) < position + 12:
            raise _cut_off()
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if len(data) < end + 4:
            raise _cut_off()
        content = data[position + 8 : end]
        if zlib.crc32(content, zlib.crc32(kind)) != struct.unpack(">I", data[end : end + 4])[0]:
            raise DataError(
                f"the PNG file is damaged: the checksum of its chunk {kind!r} is wrong; save it "
                "again"
            )
        yield kind, content
        position = end + 4


def _cut_off() -> DataError:
    return DataError("the PNG file is cut off, or a length in it is wrong; save it again")


def without_pixels(stream: BinaryIO) -> bytes:
    """Return all chunks of a PNG except those of its pixels, as a file that ends properly.

    Whether the file is cut off shows when its pixels are decoded. Behind the pixels Pillow looks at
    no checksum, and stops at what is no chunk; so does this.
    """
    kept, is_behind = [stream.read(len(SIGNATURE))], False
    while len(head := stream.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big") + 4, head[4:]
        if kind == b"IEND" or (is_behind and not kind.isalpha()):
            break
        if kind in (b"IDAT", b"fdAT"):
            stream.seek(size, io.SEEK_CUR)
            is_behind = True
            continue
        body = stream.read(size)
        if len(body) < size:
            break
        checksum = zlib.crc32(kind + body[:-4]).to_bytes(4, "big") if is_behind else body[-4:]
        kept += [head, body[:-4], checksum]
    return b"".join(kept) + _END

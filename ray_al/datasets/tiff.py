"""Read the tags of TIFF files, also of those that Pillow cannot decode.

Tag numbers and values are those of the TIFF 6.0 specification.
"""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SUBFILE_TYPE, WIDTH, HEIGHT, BITS_PER_SAMPLE = 254, 256, 257, 258
PHOTOMETRIC, ORIENTATION, SAMPLES_PER_PIXEL = 262, 274, 277
EXTRA_SAMPLES, SAMPLE_FORMAT, GDAL_NODATA = 338, 339, 42113
WHITE_IS_ZERO = 0
UNSIGNED, SIGNED, FLOATING, UNDEFINED = 1, 2, 3, 4
KINDS = {UNSIGNED: "u", SIGNED: "i", FLOATING: "f", UNDEFINED: "u"}
"""The kinds of numpy's types by sample format."""
COLOR_CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Number of channels that a colour takes, by photometric interpretation."""
SMALLER_COPY, TRANSPARENCY_MASK = 1, 4
"""Bits of the subfile type of pictures that are no further pages."""
MAX_PILLOW_BITS = 8
"""Bits of the widest channels that Pillow reads exactly, whatever their number."""
TYPES = frozenset({"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"})
_BIG_TIFF_VERSION = 43
_HEADER_BYTES, _BIG_HEADER_BYTES = 8, 16


@dataclass(frozen=True, kw_only=True)
class TiffTags:
    """The facts that the tags of the first picture of a TIFF file give.

    Attributes:
        height, width: in pixels, as they are stored.
        channels: transparency included.
        bits: of the widest channel.
        is_float: whether the values are floating-point or signed numbers.
        is_negative: whether 0 is white.
        known_channels: whether the meaning of every channel is known.
        num_pages: number of pictures; smaller copies of the first one and transparency masks are
            not counted.
        dtype: of all values; None if it is not one of whole bytes, or differs between channels.
        orientation: 1 to 8, as in EXIF.
        num_alpha: number of channels that are known to be transparency.
        nodata: the value that GDAL's tag names for pixels without data, or "".
    """

    height: int
    width: int
    channels: int
    bits: int
    is_float: bool
    is_negative: bool
    known_channels: bool
    num_pages: int
    dtype: np.dtype | None
    orientation: int
    num_alpha: int
    nodata: str


def read_tiff_tags(stream: BinaryIO, magic: bytes) -> TiffTags:
    """Read the tags of a TIFF file; damaged ones raise any exception.

    Args:
        stream: the file.
        magic: its first 16 bytes, or more.
    """
    is_big = _BIG_TIFF_VERSION in (magic[2], magic[3])
    header = magic[: _BIG_HEADER_BYTES if is_big else _HEADER_BYTES]
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    stream.seek(tags.next)
    tags.load(stream)
    width, height = int(tags[WIDTH]), int(tags[HEIGHT])
    channels = int(tags.get(SAMPLES_PER_PIXEL, 1))
    all_bits = tags.get(BITS_PER_SAMPLE, (1,))
    formats = tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    orientation = tags.get(ORIENTATION, 1)
    extra = tuple(tags.get(EXTRA_SAMPLES, ()))
    nodata = tags.get(GDAL_NODATA, "")
    num_extra = channels - COLOR_CHANNELS.get(tags.get(PHOTOMETRIC, 1), 0)
    is_alpha = extra in ((1,), (2,))
    is_negative = tags.get(PHOTOMETRIC, 1) == WHITE_IS_ZERO
    # Looking for pages loads the next tags over these, so it comes last.
    return TiffTags(
        height=height,
        width=width,
        channels=channels,
        bits=max(all_bits),
        is_float=any(value not in (UNSIGNED, UNDEFINED) for value in formats),
        is_negative=is_negative,
        known_channels=num_extra <= 0 or (num_extra == 1 and is_alpha),
        dtype=_dtype(set(all_bits), set(formats)),
        orientation=orientation if orientation in range(1, 9) else 1,
        num_alpha=sum(value in (1, 2) for value in extra[-1:]),
        nodata=str(nodata).strip("\0 "),
        num_pages=_num_pages(tags, stream),
    )


def _dtype(bits: set[int], formats: set[int]) -> np.dtype | None:
    """Return the one type of values of so many bits and of this sample format."""
    if len(bits) > 1 or len(formats) > 1:
        return None
    name = f"{KINDS.get(max(formats), '?')}{max(bits) / 8:g}"
    return np.dtype(name) if name in TYPES else None


def _num_pages(tags: TiffImagePlugin.ImageFileDirectory_v2, stream: BinaryIO) -> int:
    """Count the pages; `tags` are replaced by those of the pictures that follow."""
    count = 1
    seen: set[int] = set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        stream.seek(tags.next)
        tags.load(stream)
        if not tags.get(SUBFILE_TYPE, 0) & (SMALLER_COPY | TRANSPARENCY_MASK):
            count += 1
    return count

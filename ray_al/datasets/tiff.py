"""Read the tags of TIFF files, also of those that Pillow cannot decode.

Tag numbers and values are those of the TIFF 6.0 specification.
"""

from dataclasses import dataclass
from typing import BinaryIO

from PIL import TiffImagePlugin

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SUBFILE_TYPE, WIDTH, HEIGHT, BITS_PER_SAMPLE = 254, 256, 257, 258
PHOTOMETRIC, SAMPLES_PER_PIXEL, EXTRA_SAMPLES, SAMPLE_FORMAT = 262, 277, 338, 339
WHITE_IS_ZERO = 0
UNSIGNED, UNDEFINED = 1, 4
COLOR_CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Number of channels that a colour takes, by photometric interpretation."""
SMALLER_COPY, TRANSPARENCY_MASK = 1, 4
"""Bits of the subfile type of pictures that are no further pages."""
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
        has_pages: whether another picture follows that is neither a smaller copy of the first nor
            its transparency mask.
    """

    height: int
    width: int
    channels: int
    bits: int
    is_float: bool
    is_negative: bool
    known_channels: bool
    has_pages: bool


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
    bits = max(tags.get(BITS_PER_SAMPLE, (1,)))
    formats = tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    num_extra = channels - COLOR_CHANNELS.get(tags.get(PHOTOMETRIC, 1), 0)
    is_alpha = tuple(tags.get(EXTRA_SAMPLES, ())) in ((1,), (2,))
    is_negative = tags.get(PHOTOMETRIC, 1) == WHITE_IS_ZERO
    # Looking for pages loads the next tags over these, so it comes last.
    return TiffTags(
        height=height,
        width=width,
        channels=channels,
        bits=bits,
        is_float=any(value not in (UNSIGNED, UNDEFINED) for value in formats),
        is_negative=is_negative,
        known_channels=num_extra <= 0 or (num_extra == 1 and is_alpha),
        has_pages=_has_pages(tags, stream),
    )


def _has_pages(tags: TiffImagePlugin.ImageFileDirectory_v2, stream: BinaryIO) -> bool:
    """Return whether a page follows; `tags` are replaced by those of the pictures that follow."""
    seen: set[int] = set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        stream.seek(tags.next)
        tags.load(stream)
        if not tags.get(SUBFILE_TYPE, 0) & (SMALLER_COPY | TRANSPARENCY_MASK):
            return True
    return False

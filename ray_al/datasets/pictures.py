"""Open picture files from bytes: their headers, and their pixels as a viewer shows them."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from PIL import Image, ImageOps, UnidentifiedImageError

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.datasets.orientation import TURNS, orientation_of
from ray_al.datasets.png import BIT_DEPTH_AT, check_png, is_png, without_pixels
from ray_al.datasets.read import read_data
from ray_al.datasets.tiff import MAGICS as TIFF_MAGICS
from ray_al.datasets.tiff import TiffTags, read_tiff_tags

Result = TypeVar("Result")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
"""The formats that Pillow may find in a file, whatever its name says."""
MAX_CHANNELS = 5
"""The most that a picture has: CMYK with transparency."""
NUM_MAGIC_BYTES = 32
"""Number of bytes at the beginning of a file from which its format and bit depth are known."""

MAX_PIXELS = 1 << 30
"""The most pixels that a picture may have."""
MAX_PIXELS_PER_BYTE = 10_000
"""The most pixels that a byte of a large file may stand for; an empty PNG mask of one bit has 8256,
the most that its compression can do."""
LARGE_PIXELS = 1 << 26
"""Number of pixels from which `MAX_PIXELS_PER_BYTE` is asked for."""
MIN_LOST_BYTES = 16
"""Zeros at the end of a JPEG without an end marker from which it is taken for cut off."""
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
# Pillow raises an error from twice its limit; `decoding` says what to do.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Damaged tags, about which Pillow warns, become an error if they matter.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a picture file.

    Attributes:
        format: one of FORMATS, or MPO, a JPEG with further pictures behind it.
        mode: that of Pillow.
        height, width: in pixels, of the picture as it is shown, turned by its orientation.
        channels: transparency included.
        bits: of one channel.
        is_float: whether the values are floating-point numbers.
        orientation: 1 to 8, as in EXIF.
        num_pages: number of pages or frames; smaller copies and transparency masks in a TIFF are
            not counted.
        is_lossy: whether the pixels may differ from those that were saved.
        known_channels: whether the meaning of every channel is known.
        is_negative: whether 0 is white (a kind of TIFF).
    """

    format: str
    mode: str
    height: int
    width: int
    channels: int
    bits: int
    is_float: bool
    orientation: int
    num_pages: int
    is_lossy: bool
    known_channels: bool
    is_negative: bool = False


@contextmanager
def decoding(source: str, what: str) -> Iterator[None]:
    """Turn any exception that a decoder raises over damaged bytes into one message.

    Args:
        source: the file, for the message.
        what: it is read as, with its article: "an image".

    Raises:
        DataError: with file and reason.
        OSError: the operating system could not read the file, which says nothing about its content.
    """
    try:
        yield
    except (DataError, MemoryError):  # too little memory says nothing about the file
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{source}: is too large to be read as {what} ({str(error).split(',')[0]}); cut it "
            "into smaller tiles"
        ) from None
    except UnidentifiedImageError:
        raise _unreadable(source, what, "it is no PNG, JPEG, TIFF, BMP or WebP file") from None
    except Exception as error:  # decoders raise nearly every kind of exception over damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise
        words = " ".join(str(error).split())
        if isinstance(error, KeyError):
            words = f"its header lacks the entry {words}"
        elif not words or not isinstance(error, OSError | ValueError | SyntaxError):
            words = f"{type(error).__name__} {words}".strip()
        raise _unreadable(source, what, words) from None


def _unreadable(source: str, what: str, reason: str) -> DataError:
    return DataError(f"{source}: cannot be read as {what} ({reason}); replace or remove the file")


def from_stream(uri: str, read: Callable[[BinaryIO], Result]) -> Result:
    """Return the result of `read` on a file.

    From a disk only the bytes that `read` asks for are fetched, from elsewhere the whole file.

    Raises:
        DataError: there is no such file, or `read` finds it broken.
        ReadError: it could not be read just now.
    """
    if "://" not in uri:
        # If the disk or memory fails, the whole file is read below: that distinguishes such a fault
        # from one of the file, and tries again.
        # A larger buffer would read the pixels that are skipped.
        fault = contextlib.suppress(OSError, MemoryError)
        with fault, open(uri, "rb", buffering=1024) as stream:
            return read(stream)
    data = read_data(uri)
    return retried(uri, lambda: read(io.BytesIO(data)), (MemoryError,))


def read_header(stream: BinaryIO, source: str, what: str) -> Header:
    """Return the header of a picture; its pixels are not decoded.

    Raises:
        DataError: there is no readable header.
    """
    with decoding(source, what):
        num_bytes = length_of(stream)
        magic = stream.read(NUM_MAGIC_BYTES)
        stream.seek(0)
        if is_png(magic):
            stream = io.BytesIO(without_pixels(stream))
        return _describe(_open(stream, magic, source, num_bytes), magic, stream)


def open_picture(data: bytes, source: str, what: str) -> tuple[Header, Image.Image]:
    """Return header and pixels of a picture, turned as its orientation says.

    Raises:
        DataError: it is broken or cut off.
    """
    if is_png(data):
        # Pillow silently reads damaged pixels that still decompress.
        try:
            check_png(data)
        except DataError as error:
            raise _unreadable(source, what, str(error)) from None
    magic = data[:NUM_MAGIC_BYTES]
    with decoding(source, what):
        stream = io.BytesIO(data)
        image = _open(stream, magic, source, len(data))
        if image.format == "PNG":
            image.load()  # reads the chunks behind the pixels, too
            header = _describe(image, magic, stream)
        else:
            header = _describe(image, magic, stream)
            image.load()
            if header.format in ("JPEG", "MPO"):
                _check_end_of_jpeg(data)
        turned = _turn(image, header)
        if turned.size != (header.width, header.height):
            raise ValueError(
                f"its header says {header.height}x{header.width} pixels, there are "
                f"{turned.size[1]}x{turned.size[0]}"
            )
        return header, turned


def _check_end_of_jpeg(data: bytes) -> None:
    """Refuse a JPEG of which zeros are the end, as an interrupted copy leaves them.

    Decoders take zeros for grey pixels.
    """
    num_zeros = len(data) - len(data.rstrip(b"\0"))
    is_ended = data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    if num_zeros >= MIN_LOST_BYTES and not is_ended:
        raise ValueError(f"its last {num_zeros} bytes are zeros: it was not copied to its end")


def _turn(image: Image.Image, header: Header) -> Image.Image:
    if header.format == "TIFF":
        # Newer versions of Pillow turn it while loading, and then find no orientation here.
        return ImageOps.exif_transpose(image)
    return image.transpose(TURNS[header.orientation]) if header.orientation in TURNS else image


def check_pixels(height: int, width: int, num_bytes: int, source: str, channels: int = 1) -> None:
    """Refuse a size that no picture in a file of `num_bytes` bytes has.

    Args:
        height, width: in pixels.
        num_bytes: length of the file.
        source: the file, for messages.
        channels: numbers per pixel, where the file may hold any number of them.

    Raises:
        DataError: it is too large, or the file is too small for it.
    """
    size = f"{source}: announces {height}x{width} pixels"
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{size}, which is too large (the limit is {MAX_PIXELS}); cut it into smaller tiles"
        )
    if height * width * channels > max(LARGE_PIXELS, MAX_PIXELS_PER_BYTE * num_bytes):
        of_channels = f" of {channels} channels" if channels > 1 else ""
        raise DataError(
            f"{size}{of_channels} in {num_bytes} bytes, which is too large for such a file: it is "
            "damaged or a decompression bomb; replace or remove it"
        )


def length_of(stream: BinaryIO) -> int:
    """Return the number of bytes of a file, and go back to its beginning."""
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return length


def _open(stream: BinaryIO, magic: bytes, source: str, num_bytes: int) -> Image.Image:
    if magic[:4] not in TIFF_MAGICS:
        image = Image.open(stream, formats=FORMATS)
        check_pixels(image.size[1], image.size[0], num_bytes, source)
        return image
    tags = read_tiff_tags(stream, magic)
    check_pixels(tags.height, tags.width, num_bytes, source)
    if tags.channels > MAX_CHANNELS:
        raise _unknown_tiff(tags, source)
    stream.seek(0)
    try:
        return Image.open(stream, formats=["TIFF"])
    except UnidentifiedImageError:
        raise _unknown_tiff(tags, source) from None


def _unknown_tiff(tags: TiffTags, source: str) -> DataError:
    kind = f"{tags.channels} channels of {tags.bits} bits"
    return DataError(
        f"{source}: a TIFF of {kind}{', floating-point numbers' if tags.is_float else ''} cannot "
        "be read; export it as 8-bit greyscale or RGB"
    )


def _describe(image: Image.Image, magic: bytes, stream: BinaryIO) -> Header:
    """Return the header of an opened picture."""
    if image.format == "TIFF":
        return _describe_tiff(image, read_tiff_tags(stream, magic))
    is_lossy = image.format in ("JPEG", "MPO")
    if image.format == "WEBP":
        is_lossy = not _is_lossless_webp(stream)
    orientation = orientation_of(image)
    height, width = _shown_size(image.size[1], image.size[0], orientation)
    return Header(
        format=str(image.format),
        mode=image.mode,
        height=height,
        width=width,
        channels=len(image.getbands()),
        bits=magic[BIT_DEPTH_AT] if image.format == "PNG" else 8,
        is_float=False,
        orientation=orientation,
        num_pages=1 if image.format == "MPO" else int(getattr(image, "n_frames", 1)),
        is_lossy=is_lossy,
        known_channels=True,
    )


def _describe_tiff(image: Image.Image, tags: TiffTags) -> Header:
    orientation = orientation_of(image)
    height, width = _shown_size(tags.height, tags.width, orientation)
    compression = image.info["compression"]
    return Header(
        format="TIFF",
        mode=image.mode,
        height=height,
        width=width,
        channels=tags.channels,
        bits=tags.bits,
        is_float=tags.is_float,
        orientation=orientation,
        num_pages=tags.num_pages,
        is_lossy="jpeg" in compression or compression == "webp",
        known_channels=tags.known_channels,
        is_negative=tags.is_negative,
    )


def _shown_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Return (height, width) after turning; orientations from 5 exchange the two."""
    return (width, height) if orientation >= 5 else (height, width)


def _is_lossless_webp(stream: BinaryIO) -> bool:
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        if head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4] == b"VP8L"
        size = int.from_bytes(head[4:], "little")
        stream.seek(size + size % 2, io.SEEK_CUR)
    return False

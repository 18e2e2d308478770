"""Picture files, opened from bytes: what their headers say, and their pixels as a viewer shows them."""

import contextlib
import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.datasets.png import check_png, is_png
from ray_al.datasets.read import read_data

Result = TypeVar("Result")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
"""What Pillow may take a file for, whatever its name says."""
MAX_CHANNELS = 5
"""More no picture has: CMYK with transparency."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture of an orientation must be turned to be shown upright."""
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BASE_CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""How many channels the colour of a TIFF takes, by its photometric interpretation."""

# Pictures up to twice Pillow's limit are read on purpose; beyond it Pillow raises, and `decoding` says what to do.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# What Pillow warns of in damaged tags becomes an error where it matters.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a picture file holds.

    Attributes:
        format: one of FORMATS, or MPO, a JPEG with further pictures behind it.
        mode: Pillow's.
        height, width: pixels of the picture as it is shown, turned by its orientation.
        channels: transparency included.
        bits: of one channel.
        is_float: whether the values are floating-point numbers.
        orientation: 1 to 8, as in EXIF.
        has_pages: whether there are several pages or frames. Smaller copies and transparency masks in a TIFF are no pages.
        is_lossy: whether the pixels are not those that were saved.
        known_channels: whether every channel's meaning is known.
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
    has_pages: bool
    is_lossy: bool
    known_channels: bool
    is_negative: bool = False


@contextmanager
def decoding(source: str, what: str) -> Iterator[None]:
    """Turn whatever a decoder raises about the bytes that it was given into one message.

    Raises:
        DataError: with file and reason.
        OSError: the operating system could not read the file, which says nothing about its content.
    """
    try:
        yield
    except (DataError, MemoryError):  # that memory did not suffice says nothing about the file
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{source}: is too large to be read as {what} ({str(error).split(',')[0]}); cut it into smaller tiles"
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{source}: cannot be read as {what} (it is no PNG, JPEG, TIFF, BMP or WebP file); replace or remove the file"
        ) from None
    except Exception as error:  # decoders raise nearly every kind of exception over damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise
        words = " ".join(str(error).split())
        reason = (
            words
            if words and isinstance(error, OSError | ValueError | SyntaxError)
            else f"{type(error).__name__} {words}".strip()
        )
        raise DataError(
            f"{source}: cannot be read as {what} ({reason}); replace or remove the file"
        ) from None


def from_stream(uri: str, read: Callable[[BinaryIO], Result]) -> Result:
    """What `read` makes of the file. Only what it reads is fetched from a disk, and the whole file from elsewhere.

    Raises:
        DataError: there is no such file, or `read` finds it broken.
        ReadError: it could not be read just now.
    """
    if "://" not in uri:
        # Where the disk fails, or memory, the whole file is read: that tells such a fault from one of the file, and tries again.
        with (
            contextlib.suppress(OSError, MemoryError),
            open(uri, "rb", buffering=1024) as stream,
        ):  # a larger buffer would read the pixels that are jumped over
            return read(stream)
    data = read_data(uri)
    return retried(uri, lambda: read(io.BytesIO(data)), (MemoryError,))


def read_header(stream: BinaryIO, source: str, what: str) -> Header:
    """The header of a picture; its pixels are not decoded.

    Raises:
        DataError: there is no readable header.
    """
    with decoding(source, what):
        magic = stream.read(32)
        stream.seek(0)
        if magic.startswith(_PNG):
            stream = io.BytesIO(_png_without_pixels(stream))
        return _describe(_open(stream, magic, source), magic, stream)


def open_picture(data: bytes, source: str, what: str) -> tuple[Header, Image.Image]:
    """Header and pixels of a picture, turned as its orientation says.

    Raises:
        DataError: it is broken or cut off.
    """
    if is_png(data):
        try:
            check_png(data)
        except (
            DataError
        ) as error:  # Pillow reads damaged pixels without a word where they still decompress
            raise DataError(
                f"{source}: cannot be read as {what} ({error}); replace or remove the file"
            ) from None
    with decoding(source, what):
        stream = io.BytesIO(data)
        image = _open(stream, data[:32], source)
        if image.format == "PNG":
            image.load()  # what stands behind the pixels is read with them
            header = _describe(image, data[:32], stream)
        else:
            header = _describe(image, data[:32], stream)
            image.load()
        turned = _turn(image, header)
        if turned.size != (header.width, header.height):
            raise ValueError(
                f"its header says {header.height}x{header.width} pixels, there are {turned.size[1]}x{turned.size[0]}"
            )
        return header, turned


def _turn(image: Image.Image, header: Header) -> Image.Image:
    if (
        header.format == "TIFF"
    ):  # newer versions of Pillow have turned it while loading, and then find no orientation here
        return ImageOps.exif_transpose(image)
    return image.transpose(TURNS[header.orientation]) if header.orientation in TURNS else image


def _open(stream: BinaryIO, magic: bytes, source: str) -> Image.Image:
    if magic[:4] not in _TIFF:
        return Image.open(stream, formats=FORMATS)
    tags = _TiffTags(stream, magic)
    kind = f"{tags.channels} channels of {tags.bits} bits" + (
        ", floating-point numbers" if tags.is_float else ""
    )
    refusal = DataError(
        f"{source}: a TIFF of {kind} cannot be read; export it as 8-bit greyscale or RGB"
    )
    if tags.channels > MAX_CHANNELS:
        raise refusal
    stream.seek(0)
    try:
        return Image.open(stream, formats=["TIFF"])
    except UnidentifiedImageError:
        raise refusal from None


def _describe(image: Image.Image, magic: bytes, stream: BinaryIO) -> Header:
    width, height = image.size
    channels, bits, is_float, known, negative = len(image.getbands()), 8, False, True, False
    has_pages = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    is_lossy = image.format in ("JPEG", "MPO") or (
        image.format == "WEBP" and not _is_lossless_webp(stream)
    )
    if image.format == "PNG":
        bits = magic[24]
    elif image.format == "TIFF":
        tags = _TiffTags(stream, magic)
        width, height, channels, bits = tags.width, tags.height, tags.channels, tags.bits
        is_float, known, has_pages = tags.is_float, tags.known_channels, tags.has_pages
        negative = tags.is_negative
        is_lossy = "jpeg" in image.info["compression"] or image.info["compression"] == "webp"
    orientation = _orientation(image)
    if orientation >= 5:
        width, height = height, width
    return Header(
        format=str(image.format), mode=image.mode, height=height, width=width, channels=channels, bits=bits, is_float=is_float,
        orientation=orientation, has_pages=has_pages, is_lossy=is_lossy, known_channels=known, is_negative=negative,
    )  # fmt: skip


def _orientation(image: Image.Image) -> int:
    """1 to 8, from wherever PNG, JPEG, TIFF and WebP keep it: EXIF, XMP, or either of them as text."""
    # The method of the base class: PNG's own would decode the pixels to look behind them.
    value = Image.Image.getexif(image).get(ORIENTATION)
    if value is None and image.format != "TIFF":
        value = next(
            (found for block in _blocks(image) if (found := _orientation_in(block)) is not None),
            None,
        )
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _blocks(image: Image.Image) -> Iterator[bytes]:
    """EXIF and XMP that Pillow leaves unread."""
    for key in ("Raw profile type APP1", "Raw profile type xmp"):
        if key in image.info:
            yield bytes.fromhex("".join(image.info[key].split("\n")[3:]))
    for key in ("XML:com.adobe.xmp", "xmp"):
        if key in image.info:
            text = image.info[key]
            yield text.encode() if isinstance(text, str) else bytes(text)


def _orientation_in(block: bytes) -> int | None:
    if block.startswith(b"Exif\0\0"):
        exif = Image.Exif()
        exif.load(block)
        return exif.get(ORIENTATION)
    match = _XMP_ORIENTATION.search(block)
    return int(match[1]) if match else None


def _png_without_pixels(stream: BinaryIO) -> bytes:
    """All chunks of a PNG but those of its pixels, as a file that ends properly; whether it is cut off, decoding will tell.

    Behind the pixels Pillow looks at no checksum, and stops at what is no chunk: so does this.
    """
    kept, is_behind = [stream.read(8)], False
    while len(head := stream.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big") + 4, head[4:]
        if kind == b"IEND" or (is_behind and not kind.isalpha()):
            break
        if kind in (b"IDAT", b"fdAT"):
            stream.seek(size, io.SEEK_CUR)
            is_behind = True
        elif len(body := stream.read(size)) == size:
            checksum = zlib.crc32(kind + body[:-4]).to_bytes(4, "big") if is_behind else body[-4:]
            kept += [head, body[:-4], checksum]
        else:
            break
    return b"".join(kept) + _PNG_END


def _is_lossless_webp(stream: BinaryIO) -> bool:
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        if head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4] == b"VP8L"
        size = int.from_bytes(head[4:], "little")
        stream.seek(size + size % 2, io.SEEK_CUR)
    return False


class _TiffTags:
    """What the tags of a TIFF's first picture say, whether or not Pillow can decode it."""

    def __init__(self, stream: BinaryIO, magic: bytes) -> None:
        tags = TiffImagePlugin.ImageFileDirectory_v2(
            magic[: 16 if magic[2] == 43 or magic[3] == 43 else 8]
        )
        stream.seek(tags.next)
        tags.load(stream)
        self.width, self.height = int(tags[256]), int(tags[257])
        self.channels, self.bits = int(tags.get(277, 1)), max(tags.get(258, (1,)))
        self.is_float = any(value not in (1, 4) for value in tags.get(339, (1,)))
        self.is_negative = tags.get(262, 1) == 0
        extra = tags.get(338, ())
        num_extra = self.channels - _BASE_CHANNELS.get(tags.get(262, 1), 0)
        self.known_channels = num_extra <= 0 or (num_extra == 1 and tuple(extra) in ((1,), (2,)))
        self.has_pages = _has_pages(tags, stream)


def _has_pages(tags: TiffImagePlugin.ImageFileDirectory_v2, stream: BinaryIO) -> bool:
    """Whether a page follows that is neither a smaller copy of the picture (bit 0 of tag 254) nor its transparency mask (bit 2)."""
    seen: set[int] = set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        stream.seek(tags.next)
        tags.load(stream)
        if not tags.get(254, 0) & 5:
            return True
    return False

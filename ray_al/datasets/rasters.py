"""Read the values of image files as they are stored: 16 bits, floating-point, any channels."""

import io
import logging
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ray_al.core.config.pixels import ChannelChoice
from ray_al.core.errors import DataError
from ray_al.datasets.numpy_images import is_numpy, numpy_header, read_numpy
from ray_al.datasets.orientation import turned
from ray_al.datasets.pictures import (
    NUM_MAGIC_BYTES,
    Header,
    check_pixels,
    decoding,
    length_of,
    open_picture,
    read_header,
)
from ray_al.datasets.pixels import Stored
from ray_al.datasets.png import check_png_pixels
from ray_al.datasets.strips import count_clear, values_of_picture
from ray_al.datasets.tiff import MAGICS, MAX_PILLOW_BITS, TiffTags, read_tiff_tags

WHAT = "an image"
GREY_MODES = frozenset({"1", "L", "LA", "La"})
COLOR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"})
ALPHA_MODES = frozenset({"LA", "PA", "RGBA", "RGBa", "La"})
PILLOW_TIFF_MODES = frozenset({"I;16", "I;16B", "I;16L", "F"})
"""Modes of one channel that Pillow reads exactly, whatever the compression."""


def read_stored(stream: BinaryIO, source: str, channels: ChannelChoice = None) -> Stored:
    """Return what the header of an image file says.

    Args:
        stream: the file.
        source: the file, for messages.
        channels: `data.channels`. In a list, the transparency of a TIFF is a channel like others.

    Raises:
        DataError: there is no readable header, or no rule can make an image of what it announces.
    """
    with decoding(source, WHAT):
        magic = stream.read(NUM_MAGIC_BYTES)
        num_bytes = length_of(stream)
        if is_numpy(magic):
            return numpy_header(stream, source)
        tags = _own_tags(stream, magic, channels)
        if tags is not None:
            return _stored_of_tags(tags, num_bytes, source)
        stream.seek(0)
    return stored_of(read_header(stream, source, WHAT), source)


def _own_tags(stream: BinaryIO, magic: bytes, channels: ChannelChoice) -> TiffTags | None:
    """Return the tags of a TIFF that Pillow does not read exactly; None for all other files."""
    if magic[:4] not in MAGICS:
        return None
    tags = read_tiff_tags(stream, magic)
    if isinstance(channels, tuple) and tags.num_alpha:
        # Many programs call a fourth channel transparency, whatever it holds.
        tags = replace(tags, num_alpha=0, known_channels=False)
    is_plain = tags.bits <= MAX_PILLOW_BITS and not tags.is_float and tags.known_channels
    return None if is_plain else tags


def _stored_of_tags(tags: TiffTags, num_bytes: int, source: str) -> Stored:
    check_pixels(tags.height, tags.width, num_bytes, source, tags.channels)
    if tags.num_pages > 1:
        raise several_pages(tags.num_pages, source)
    if tags.dtype is None:
        raise DataError(
            f"{source}: a TIFF with channels of {tags.bits} bits, not all of one type of whole "
            "bytes; save all channels with 8, 16 or 32 bits"
        )
    if tags.is_negative:
        raise DataError(
            f"{source}: a TIFF of {tags.bits} bits in which 0 is white; save it with 0 as black"
        )
    height, width = tags.height, tags.width
    if tags.orientation >= 5:
        height, width = width, height
    return Stored(height, width, tags.channels - tags.num_alpha, tags.dtype)


def stored_of(header: Header, source: str) -> Stored:
    """Return what the header of a picture says that Pillow reads.

    Raises:
        DataError: it has several pages, or colours of another kind.
    """
    if header.num_pages > 1:
        raise several_pages(header.num_pages, source)
    is_wide = header.format == "PNG" and header.bits > 8
    if not is_wide and header.mode not in GREY_MODES | COLOR_MODES:
        raise DataError(
            f"{source}: holds colours in the mode {header.mode}; save it as greyscale or RGB"
        )
    channels = 1 if header.mode in GREY_MODES or header.mode.startswith("I") else 3
    dtype = np.dtype(np.uint16 if is_wide else np.uint8)
    return Stored(header.height, header.width, channels, dtype)


def several_pages(count: int, source: str) -> DataError:
    """Return the error for a file with more than one picture."""
    return DataError(
        f"{source}: holds several pages or frames ({count}); save each as a file of its own"
    )


def read_values(
    data: bytes, source: str, channels: ChannelChoice = None
) -> tuple[Stored, np.ndarray, float | None]:
    """Return the values of an image file, turned as its orientation says.

    Returns:
        What its header says; the values (H, W, C); and the value that the file itself names for
        pixels without data.

    Raises:
        DataError: it is broken, has transparent pixels, or needs a package that is not installed.
    """
    opened = open_values(data, source, channels)
    return opened.stored, opened.values(source), opened.declared


@dataclass(frozen=True)
class OpenImage:
    """A decoded image file, which no longer needs the bytes of the file.

    Attributes:
        stored: what its header says.
        content: its picture, or its values.
        declared: the value that the file itself names for pixels without data.
    """

    stored: Stored
    content: np.ndarray | Image.Image
    declared: float | None = None

    def values(self, source: str) -> np.ndarray:
        """Return the values (H, W, C).

        Raises:
            DataError: it has transparent pixels, or its pixels are not what its header says.
        """
        values, stored = self.content, self.stored
        if isinstance(values, Image.Image):
            with decoding(source, WHAT):
                refuse_transparent(values, source)
                values = values_of_picture(values, "L" if stored.channels == 1 else "RGB")
        values = _without_alpha(np.atleast_3d(values), stored.channels, source)
        if values.shape != stored[:3] or values.dtype.newbyteorder("=") != stored.dtype:
            raise DataError(
                f"{source}: cannot be read as an image (its header says {stored[:3]} "
                f"{stored.dtype}, there are {values.shape} {values.dtype}); replace or remove the "
                "file"
            )
        return values


def open_values(data: bytes, source: str, channels: ChannelChoice = None) -> OpenImage:
    """Decode an image file; see `read_values`.

    Raises:
        DataError: it is broken, or needs a package that is not installed.
    """
    magic = data[:NUM_MAGIC_BYTES]
    if is_numpy(magic):
        values = read_numpy(data, source)
        height, width, count = values.shape
        return OpenImage(Stored(height, width, count, values.dtype), values)
    with decoding(source, WHAT):
        tags = _own_tags(io.BytesIO(data), magic, channels)
    if tags is not None:
        stored = _stored_of_tags(tags, len(data), source)
        return OpenImage(stored, _tiff_values(data, tags, source), _number(tags.nodata))
    header, image = open_picture(data, source, WHAT)
    stored = stored_of(header, source)
    if stored.dtype == np.uint16:
        return OpenImage(stored, turned(_wide_png(data, source), header.orientation))
    return OpenImage(stored, image)


def refuse_transparent(image: Image.Image, source: str) -> None:
    """Refuse a picture in which anything can be seen through.

    Raises:
        DataError: with the number of such pixels.
    """
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return
    if num_clear := count_clear(image):
        raise _transparent(num_clear, source)


def _transparent(num_clear: int, source: str) -> DataError:
    return DataError(
        f"{source}: {num_clear} pixels are transparent, and nothing says what lies behind them; "
        "save it on a background, without transparency (if the last channel of a TIFF is "
        "another one, such as infrared, name all of them: data.channels=[0, 1, 2, 3])"
    )


def _without_alpha(values: np.ndarray, channels: int, source: str) -> np.ndarray:
    """Return the channels without the transparency behind them, which must hide nothing."""
    if values.shape[2] != channels + 1:
        return values
    alpha = values[..., channels]
    opaque = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0
    if num_clear := int((alpha != opaque).sum()):
        raise _transparent(num_clear, source)
    return values[..., :channels]


def _wide_png(data: bytes, source: str) -> np.ndarray:
    """Return the values of a PNG of 16 bits, of which Pillow keeps 8 if it has several channels."""
    # Imports torch, which files of 8 bits do not need.
    import torch
    from torchvision.io import ImageReadMode, decode_png

    with decoding(source, WHAT):
        check_png_pixels(data)
        content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        values: np.ndarray = decode_png(content, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
        return values


def _tiff_values(data: bytes, tags: TiffTags, source: str) -> np.ndarray:
    """Return the values of a TIFF, transparency included."""
    with decoding(source, WHAT):
        if tags.channels == 1 and tags.dtype in (np.dtype(np.uint16), np.dtype(np.float32)):
            _, image = open_picture(data, source, WHAT)
            if image.mode in PILLOW_TIFF_MODES:
                return np.array(image)
        tifffile = _tifffile(tags, source)
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            num_values = tags.height * tags.width * tags.channels
            if page.samplesperpixel != tags.channels or page.size != num_values:
                raise ValueError(f"its tags contradict each other: {page.shape}")
            try:
                values: np.ndarray = page.asarray()
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
                raise DataError(
                    f"{source}: a TIFF compressed by {page.compression.name} needs the package "
                    "imagecodecs; install ray_al[tiff], or save the file without compression"
                ) from None
            axes = page.axes
    return turned(_channels_last(values, axes, source), tags.orientation)


def _tifffile(tags: TiffTags, source: str) -> ModuleType:
    try:
        import tifffile  # an optional package
    except ImportError:
        raise DataError(
            f"{source}: a TIFF of {tags.channels} channels of {tags.bits} bits needs the package "
            "tifffile; install ray_al[tiff]"
        ) from None
    # It logs what is odd about damaged files, which the errors here say once.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    module: ModuleType = tifffile
    return module


def _channels_last(values: np.ndarray, axes: str, source: str) -> np.ndarray:
    if axes == "SYX":
        return np.moveaxis(values, 0, 2)
    if axes not in ("YX", "YXS"):
        raise DataError(f"{source}: a TIFF of axes {axes}; save one picture of height and width")
    return values


def _number(text: str) -> float | None:
    """Return the number that a tag holds as text."""
    try:
        return float(text) if text else None
    except ValueError:
        return None

"""Images in .npy files, and in .npz files of one array, read without trusting their headers."""

import io
import math
import zipfile
from typing import BinaryIO

import numpy as np

from ray_al.core.errors import DataError
from ray_al.datasets.arrays import MAGIC, fill_array
from ray_al.datasets.pictures import MAX_PIXELS
from ray_al.datasets.pixels import Stored

ZIP_MAGIC = b"PK\x03\x04"
HEADER_BYTES = 1 << 16
"""Enough for the header of any array, which for an image is a few dozen bytes."""


def is_numpy(magic: bytes) -> bool:
    """Return whether a file begins as .npy and .npz files do."""
    return magic.startswith((MAGIC, ZIP_MAGIC))


def numpy_header(stream: BinaryIO, source: str) -> Stored:
    """Return what the header of a .npy or .npz file says.

    Raises:
        DataError: it is no image (height, width) or (height, width, channels).
    """
    stream.seek(0)
    if stream.read(len(MAGIC)) == MAGIC:
        stream.seek(0)
        return _stored_of_header(stream, source)
    with zipfile.ZipFile(stream) as archive, archive.open(_only_member(archive, source)) as member:
        return _stored_of_header(io.BytesIO(member.read(HEADER_BYTES)), source)


def read_numpy(data: bytes, source: str) -> np.ndarray:
    """Return the values of a .npy or .npz file, (H, W, C) in the byte order of this machine.

    Raises:
        DataError: as `numpy_header`, or the values do not fill the shape.
    """
    try:
        if not data.startswith(MAGIC):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                data = _member_bytes(archive, source)
        stream = io.BytesIO(data)
        shape, fortran, dtype = _header(stream)
        stored = _stored(shape, dtype, source)
    except DataError:
        raise
    except Exception as error:  # damaged headers and archives raise nearly every kind of exception
        raise DataError(
            f"{source}: cannot be read as an image ({' '.join(str(error).split())}); replace or "
            "remove the file"
        ) from None
    values = fill_array(data, stream.tell(), shape, dtype, source, fortran=fortran)
    return values.reshape(stored[:3]).astype(stored.dtype, order="C", copy=False)


def _stored_of_header(stream: BinaryIO, source: str) -> Stored:
    shape, _, dtype = _header(stream)
    return _stored(shape, dtype, source)


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and type; the stream is left at the first value."""
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _stored(shape: tuple[int, ...], dtype: np.dtype, source: str) -> Stored:
    """Return the header of an array that is an image."""
    if dtype.kind not in "biuf":
        raise DataError(f"{source}: an array of type {dtype}; save whole or floating-point numbers")
    is_image = len(shape) in (2, 3) and min(shape, default=0) > 0
    if not is_image or (len(shape) == 3 and shape[0] < shape[2]):
        raise DataError(
            f"{source}: an array of shape {shape}; save (height, width) or (height, width, "
            "channels), such as array.transpose(1, 2, 0) of (channels, height, width)"
        )
    if shape[0] * shape[1] > MAX_PIXELS:
        raise DataError(
            f"{source}: an array of shape {shape}, which is too large (the limit is {MAX_PIXELS} "
            "pixels); cut it into smaller tiles"
        )
    return Stored(shape[0], shape[1], shape[2] if len(shape) == 3 else 1, dtype.newbyteorder("="))


def _only_member(archive: zipfile.ZipFile, source: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1 or not members[0].filename.endswith(".npy"):
        raise DataError(
            f"{source}: an archive of {len(members)} files; save one image as one array, with "
            "numpy.savez_compressed(path, image=array)"
        )
    return members[0]


def _member_bytes(archive: zipfile.ZipFile, source: str) -> bytes:
    """Return the one array of an archive, never more than its header announces."""
    with archive.open(_only_member(archive, source)) as member:
        head = member.read(HEADER_BYTES)
        stream = io.BytesIO(head)
        shape, _, dtype = _header(stream)
        _stored(shape, dtype, source)
        rest = math.prod(shape) * dtype.itemsize + stream.tell() - len(head)
        return head + (member.read(rest + 1) if rest > 0 else b"")

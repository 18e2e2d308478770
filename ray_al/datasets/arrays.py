"""Masks in .npy files, read without trusting what their header says."""

import io
import math
from typing import BinaryIO

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.datasets.pictures import decoding

MAGIC = b"\x93NUMPY"


def read_npy_header(stream: BinaryIO, source: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of a .npy file and leave the stream at its first value.

    Returns:
        The shape, whether the values are in Fortran order, and their type.

    Raises:
        DataError: it is not a .npy file of whole numbers, or it is larger than a picture may be.
    """
    with decoding(source, "a mask"):
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.kind not in "biu":
        raise DataError(
            f"{source}: values of type {dtype}; save the class ids as whole numbers, e.g. with "
            ".astype('uint8')"
        )
    if len(shape) == 3 and shape[2] != 3:
        raise DataError(
            f"{source}: an array of shape {shape}; save class ids as (height, width); from one "
            "score or flag per class, .argmax(-1) makes them"
        )
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{source}: an array of shape {shape}; save class ids as (height, width)")
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if min(shape) < 0 or shape[0] * shape[1] > limit:
        raise DataError(
            f"{source}: an array of shape {shape}, more than the limit of {limit} pixels; cut it "
            "into smaller tiles"
        )
    return shape, fortran, dtype


def decode_npy(data: bytes, source: str) -> np.ndarray:
    """Return the array of a .npy file: whole numbers (H, W) or (H, W, 3).

    Raises:
        DataError: as `read_npy_header`, or the values do not fill the shape.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = read_npy_header(stream, source)
    return fill_array(data, stream.tell(), shape, dtype, source, fortran=fortran)


def fill_array(
    data: bytes,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    source: str,
    *,
    fortran: bool,
) -> np.ndarray:
    """Return the values that follow the header of a .npy file.

    Args:
        data: content of the file.
        offset: where the values begin.
        shape, dtype: as the header says.
        source: the file, for messages.
        fortran: whether the first axis varies fastest.

    Raises:
        DataError: the values do not fill the shape, or there are more.
    """
    expected = math.prod(shape) * dtype.itemsize
    found = len(data) - offset
    if found != expected:
        raise DataError(
            f"{source}: {found} bytes of values, but shape {shape} and type {dtype} need "
            f"{expected}; save the file again"
        )
    values = np.frombuffer(data, dtype, offset=offset)
    return values.reshape(shape, order="F" if fortran else "C")

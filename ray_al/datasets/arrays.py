"""Masks as .npy files, opened without trusting what their header says."""

import io
import math
from typing import BinaryIO

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.datasets.pictures import decoding

MAGIC = b"\x93NUMPY"


def read_npy_header(stream: BinaryIO, source: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran's order, and type; the stream then stands before the values.

    Raises:
        DataError: it is no .npy file of whole numbers, or larger than a picture may be.
    """
    with decoding(source, "a mask"):
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.kind not in "biu":
        raise DataError(
            f"{source}: values of type {dtype}; save the class ids as whole numbers, e.g. with .astype('uint8')"
        )
    if len(shape) == 3 and shape[2] != 3:
        raise DataError(
            f"{source}: an array of shape {shape}; save class ids as (height, width), from a score or a flag a class by .argmax(-1)"
        )
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{source}: an array of shape {shape}; save class ids as (height, width)")
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if min(shape) < 0 or shape[0] * shape[1] > limit:
        raise DataError(
            f"{source}: an array of shape {shape}, more than the {limit} pixels that are read; cut it into smaller tiles"
        )
    return shape, fortran, dtype


def decode_npy(data: bytes, source: str) -> np.ndarray:
    """The array, (H, W) or (H, W, 3), of whole numbers.

    Raises:
        DataError: as of `read_npy_header`, or the values do not fill the shape.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = read_npy_header(stream, source)
    wanted, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if there != wanted:
        raise DataError(
            f"{source}: {there} bytes of values where shape {shape} and type {dtype} need {wanted}; save the file again"
        )
    values = np.frombuffer(data, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if fortran else "C")

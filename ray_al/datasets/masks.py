"""Read masks, in any of the forms that tools write them, as class ids."""

import dataclasses
from typing import BinaryIO

import numpy as np

from ray_al.core.reading import retried
from ray_al.core.types import Box
from ray_al.datasets.arrays import MAGIC, read_npy_header
from ray_al.datasets.mask_colors import decode_colors
from ray_al.datasets.mask_decoder import DecodedMask, MaskDecoder
from ray_al.datasets.mask_files import WHAT, OpenMask, open_mask_bytes
from ray_al.datasets.mask_ids import decode_ids
from ray_al.datasets.pictures import from_stream, read_header
from ray_al.datasets.read import read_data
from ray_al.datasets.tiles import Tile, split_uri
from ray_al.datasets.whole import masks as whole_masks

__all__ = [
    "DecodedMask",
    "MaskDecoder",
    "decode_mask",
    "read_decoded",
    "read_kept_mask",
    "read_mask",
    "read_mask_size",
]


def read_mask(uri: str, decoder: MaskDecoder, *, box: Box | None = None) -> np.ndarray:
    """Return the class ids of a mask, or of the part of it inside `box`.

    Nothing outside the box is looked at, unless the decoder says so (`MaskDecoder.whole`).

    Returns:
        uint8 (H, W), 255 where there is no label.

    Raises:
        DataError: it is missing, broken, or has an unknown id or colour; the message names file,
            value and number of pixels.
        ReadError: it could not be read just now, or there was not enough memory.
    """
    return read_decoded(uri, decoder, box=box).ids


def read_kept_mask(uri: str, decoder: MaskDecoder, size: tuple[int, int]) -> np.ndarray:
    """Return the class ids of a mask of `size` (height, width), to be read only.

    It is kept for further calls until `forget_files`.

    Raises:
        DataError, ReadError: as `read_mask`.
    """
    if split_uri(uri)[1] is not None:
        return read_mask(uri, decoder)  # which keeps the file of a tile
    return whole_masks.get((uri, decoder), size, lambda: read_decoded(uri, decoder)).ids


def read_decoded(uri: str, decoder: MaskDecoder, *, box: Box | None = None) -> DecodedMask:
    """Return a mask together with its numbers that mean "no label"; see `read_mask`."""
    file, tile = split_uri(uri)
    if tile is not None:
        return _read_tile(file, tile, decoder, box)
    source = decoder.source
    if source is not None:
        return retried(
            uri,
            lambda: _decode(OpenMask(values=source.read(uri)), uri, decoder, box),
            (MemoryError,),
        )
    data = read_data(uri)
    return retried(uri, lambda: decode_mask(data, uri, decoder, box=box), (MemoryError,))


def _read_tile(uri: str, tile: Tile, decoder: MaskDecoder, box: Box | None) -> DecodedMask:
    """Return the core of a tile, or a box of it; an unknown value anywhere refuses the mask."""
    whole = whole_masks.get((uri, decoder), tile.image, lambda: read_decoded(uri, decoder))
    tile.check((whole.ids.shape[0], whole.ids.shape[1]), uri)
    ids = tile.of(whole.ids)
    if box is not None:
        ids = ids[box.top : box.bottom, box.left : box.right]
    return dataclasses.replace(whole, ids=ids)


def decode_mask(
    data: bytes, source: str, decoder: MaskDecoder, *, box: Box | None = None
) -> DecodedMask:
    """Decode the content of a mask file; see `read_mask`."""
    return _decode(open_mask_bytes(data, source), source, decoder, box)


def _decode(opened: OpenMask, source: str, decoder: MaskDecoder, box: Box | None) -> DecodedMask:
    decode = decode_colors if decoder.encoding == "colors" else decode_ids
    if box is None:
        return decode(opened, decoder, source, opened.values)
    inside = (slice(box.top, box.bottom), slice(box.left, box.right))
    if not decoder.whole:
        return decode(opened, decoder, source, opened.values[inside])
    decoded = decode(opened, decoder, source, opened.values)
    return dataclasses.replace(decoded, ids=decoded.ids[inside])


def read_mask_size(uri: str, decoder: MaskDecoder | None = None) -> tuple[int, int]:
    """Return (height, width) of the mask as it is shown, without decoding its pixels.

    Args:
        uri: of the mask, or of a tile of it.
        decoder: needed for masks that are no files of their own.

    Raises:
        DataError: there is no readable header.
        ReadError: it could not be read just now.
    """
    uri, tile = split_uri(uri)
    if tile is not None:
        tile.check(read_mask_size(uri, decoder), uri)
        return tile.size
    if decoder is not None and decoder.source is not None:
        return decoder.source.size(uri)
    return from_stream(uri, lambda stream: _size_of(stream, uri))


def _size_of(stream: BinaryIO, source: str) -> tuple[int, int]:
    is_array = stream.read(len(MAGIC)) == MAGIC
    stream.seek(0)
    if is_array:
        shape, _, _ = read_npy_header(stream, source)
        return shape[0], shape[1]
    header = read_header(stream, source, WHAT)
    return header.height, header.width

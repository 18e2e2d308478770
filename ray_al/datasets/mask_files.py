"""Open mask files, whatever their format."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.datasets.arrays import MAGIC, decode_npy
from ray_al.datasets.pictures import Header, decoding, open_picture
from ray_al.datasets.strips import count_clear, strips_of, values_of_picture

WHAT = "a mask"
ID_MODES = frozenset({"L", "P", "1", "I", "I;16", "I;16B", "I;16L"})
COLOR_MODES = frozenset({"RGB", "RGBX", "CMYK", "YCbCr"})
ALPHA_MODES = frozenset({"LA", "PA", "RGBA"})


@dataclass(frozen=True, kw_only=True)
class OpenMask:
    """A mask file as it was saved.

    Attributes:
        values: whole numbers (H, W), or colours uint8 (H, W, 3).
        grey_step: one step of `values` (H, W) in grey levels of 0 to 255, if a file keeps fewer
            than 8 bits.
        palette: the colours of the numbers of an indexed picture, uint8 (N, 3).
        is_lossy: whether the values may differ from those that were saved.
        num_clear: number of pixels whose number the file calls transparent: their number is
            certain, their colour says nothing.
    """

    values: np.ndarray
    grey_step: int = 1
    palette: np.ndarray | None = None
    is_lossy: bool = False
    num_clear: int = 0

    @property
    def is_colored(self) -> bool:
        """Whether its three channels differ anywhere."""
        return self.values.ndim == 3 and any(
            bool((strip != strip[..., :1]).any()) for strip in strips_of(self.values)
        )


def open_mask_bytes(data: bytes, source: str) -> OpenMask:
    """Open a mask file, turned as its orientation says.

    Every mask that the project reads is opened here.

    Raises:
        DataError: it is broken, or its values are no certain ids or colours: several pages,
            transparency, floating-point numbers.
    """
    if data.startswith(MAGIC):
        values = decode_npy(data, source)
        if values.ndim == 3 and values.dtype != np.uint8:
            raise DataError(f"{source}: colours of type {values.dtype}; save them as uint8")
        return OpenMask(values=values.view(np.uint8) if values.dtype.kind == "b" else values)
    header, image = open_picture(data, source, WHAT)
    _check(header, source)
    with decoding(source, WHAT):
        num_clear = _count_clear(image)
        if image.mode not in ID_MODES and num_clear:
            raise transparent(num_clear, source)
        image = image.getchannel(0) if image.mode == "LA" else image
        if image.mode not in ID_MODES:
            return OpenMask(values=values_of_picture(image, "RGB"), is_lossy=header.is_lossy)
        values, step = _numbers(image, header)
        return OpenMask(
            values=values,
            grey_step=step,
            palette=_palette(image),
            is_lossy=header.is_lossy,
            num_clear=num_clear,
        )


def transparent(num_clear: int, source: str) -> DataError:
    """Return the error for a mask with transparent pixels that it needs the colours of."""
    return DataError(
        f"{source}: {num_clear} pixels are transparent, which says nothing about their class; "
        "paint what is transparent in the colour (or with the id) of its class, and save the mask "
        "without transparency"
    )


def _check(header: Header, source: str) -> None:
    if header.num_pages > 1:
        raise DataError(
            f"{source}: holds several pages or frames ({header.num_pages}); save the mask as one "
            "picture of class ids"
        )
    if header.is_float or header.mode == "F":
        raise DataError(
            f"{source}: holds floating-point or signed numbers; save the class ids as whole "
            "numbers of 8 bits"
        )
    if header.is_negative and header.bits > 1:
        raise DataError(
            f"{source}: a TIFF in which 0 is white, so its ids read as 255 and below; save it with "
            "0 as black, or as PNG"
        )
    if header.channels > 1 and header.bits > 8:
        raise DataError(
            f"{source}: holds {header.channels} channels of {header.bits} bits; save class ids in "
            "one channel, or colours of 8 bits"
        )
    if not header.known_channels or header.mode not in ID_MODES | COLOR_MODES | ALPHA_MODES:
        raise DataError(
            f"{source}: holds {header.channels} channels (mode {header.mode}); save class ids in "
            "one channel, or colours in three"
        )


def _count_clear(image: Image.Image) -> int:
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return 0
    return count_clear(image)


def _numbers(image: Image.Image, header: Header) -> tuple[np.ndarray, int]:
    """Return the numbers as the file keeps them, and the grey levels of one step.

    Pillow stretches greyscale of 2 and 4 bits to 0 to 255; this undoes it.
    """
    values = values_of_picture(image)
    if image.mode == "1":
        return values.astype(np.uint8), 255
    step = 255 // (2**header.bits - 1) if image.mode == "L" and header.bits < 8 else 1
    return (values // step).astype(values.dtype) if step > 1 else values, step


def _palette(image: Image.Image) -> np.ndarray | None:
    colors = image.getpalette("RGB") if image.mode == "P" else None
    return None if colors is None else np.array(colors, dtype=np.uint8).reshape(-1, 3)

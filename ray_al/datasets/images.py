"""Read images of any kind as the values that networks see, and resize images and masks."""

import numpy as np
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.reading import retried
from ray_al.datasets.pictures import from_stream
from ray_al.datasets.pixels import PLAIN, PixelRule
from ray_al.datasets.rasters import open_values, read_stored, read_values
from ray_al.datasets.read import read_data
from ray_al.datasets.tiles import split_uri
from ray_al.datasets.whole import read_whole


def read_image(uri: str, rule: PixelRule = PLAIN) -> np.ndarray:
    """Read and decode an image file, or the core of a tile; see `decode_image`.

    Raises:
        DataError: it is missing or broken, or it cannot be used.
        ReadError: it could not be read just now, or there was not enough memory.
    """
    file, tile = split_uri(uri)
    if tile is not None:
        whole = read_whole(file, tile, rule)
        return rule.apply(tile.of(whole.values), file, whole.declared)
    return retried(uri, lambda: decode_image(read_data(uri), uri, rule), (MemoryError,))


def read_pool_image(uri: str, size: tuple[int, int], rule: PixelRule = PLAIN) -> np.ndarray:
    """Read an image of the pool, whose `size` (height, width) is known from the manifest.

    Raises:
        DataError: as `read_image`; or the image is of another size, as its regions and labels would
            then lie on other pixels.
        ReadError: as `read_image`.
    """
    image = read_image(uri, rule)
    if image.shape[:2] != tuple(size):
        found = (
            f"{image.shape[0]}x{image.shape[1]} pixels, {size[0]}x{size[1]} when the run was made"
        )
        raise DataError(f"{uri}: the image has {found}; put the earlier image back")
    return image


def read_seen(
    uri: str,
    image_size: tuple[int, int],
    rule: PixelRule = PLAIN,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return what the network sees of an image: it is resized, or the window of a tile.

    Args:
        uri: of the image or tile.
        image_size: height and width at which the network sees it.
        rule: what its values become.
        size: of an image of the pool, which is checked as `read_pool_image` does.

    Returns:
        uint8 or float32 (*image_size, C), from 0 to 255.

    Raises:
        DataError: as `read_pool_image`.
        ReadError: as `read_image`.
    """
    file, tile = split_uri(uri)
    if tile is not None:
        whole = read_whole(file, tile, rule)
        return tile.padded(rule.apply(tile.seen_part(whole.values), file, whole.declared))
    image = read_image(uri, rule) if size is None else read_pool_image(uri, size, rule)
    return resize_image(image, image_size)


def decode_image(data: bytes, source: str, rule: PixelRule = PLAIN) -> np.ndarray:
    """Decode an image and turn it as its orientation says; greyscale, palette, CMYK become RGB.

    Args:
        data: content of the file.
        source: the file, for messages.
        rule: what its values become.

    Returns:
        uint8 (H, W, 3), or what `PixelRule.apply` makes of other channels and types.

    Raises:
        DataError: it is broken or cut off, has several pages or transparent pixels, or its values
            are not what the rule covers.
    """
    opened = open_values(data, source, rule.channels)
    del data  # of a scan, half a gigabyte
    rule.check(opened.stored, source)
    return rule.apply(opened.values(source), source, opened.declared)


def read_void(uri: str, rule: PixelRule) -> np.ndarray:
    """Return where an image has no data (`data.nodata`), bool (H, W).

    Raises:
        DataError: as `read_image`.
        ReadError: as `read_image`.
    """
    file, tile = split_uri(uri)
    if tile is not None:
        return rule.void(tile.of(read_whole(file, tile, rule).values))
    data = read_data(uri)
    _, values, _ = retried(uri, lambda: read_values(data, uri, rule.channels), (MemoryError,))
    return rule.void(values)


def read_image_size(uri: str, rule: PixelRule = PLAIN) -> tuple[int, int]:
    """Return (height, width) of the image or tile as it is shown, from the file's header alone.

    Raises:
        DataError: there is no readable header, or it announces what `decode_image` refuses; or the
            image of a tile has another size than the one that was divided.
        ReadError: it could not be read just now.
    """
    file, tile = split_uri(uri)
    stored = from_stream(file, lambda stream: read_stored(stream, file, rule.channels))
    rule.check(stored, file)
    if tile is None:
        return stored.size
    tile.check(stored.size, file)
    return tile.size


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 or float32 (H, W, C) to (*size, C), bilinearly with antialiasing."""
    if image.shape[:2] == tuple(size):
        return image
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return _resize_plane(image, size)
    planes = [_resize_plane(image[..., channel], size) for channel in range(image.shape[2])]
    return np.stack(planes, axis=2)


def _resize_plane(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.array(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask (H, W) or (H, W, …) of any type to `size` by the nearest neighbour."""
    if mask.shape[:2] == tuple(size):
        return mask
    if mask.ndim > 2 or mask.dtype != np.uint8:
        rows, columns = (_nearest(old, new) for old, new in zip(mask.shape[:2], size, strict=True))
        resized: np.ndarray = mask[rows[:, None], columns[None, :]]
        return resized
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def resize_scattered(mask: np.ndarray, size: tuple[int, int], labelled: np.ndarray) -> np.ndarray:
    """Resize a mask by the nearest neighbour, but fill an empty cell with a label from within it.

    Single labelled pixels thus survive a smaller size.

    Args:
        mask: as for `resize_mask`.
        size: (height, width) of the result.
        labelled: bool (H, W), whether a pixel of `mask` holds a label. If several of them lie in an
            empty cell, the first one, row by row, is taken.
    """
    empty = resize_mask(labelled.astype(np.uint8), size) == 0
    return _fill_empty(resize_mask(mask, size), empty, mask, labelled)


def resize_regions(
    mask: np.ndarray, size: tuple[int, int], numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Resize a mask by the nearest neighbour, but keep regions that would vanish.

    Such a region keeps the cells that it lies in, unless they take another label. If several of
    these regions share a cell, the first of them, row by row, gets it: a cell has one label.

    Args:
        mask: as for `resize_mask`.
        size: (height, width) of the results.
        numbers: integers (H, W), the region of each labelled pixel, from 1; 0 where there is no
            label.

    Returns:
        `mask` and `numbers` at `size`.
    """
    if mask.shape[:2] == tuple(size):
        return mask, numbers
    resized, kept = resize_mask(mask, size), resize_mask(numbers, size)
    is_lost = np.bincount(numbers.ravel()) > 0
    is_lost[kept] = False
    is_lost[0] = False
    if not is_lost.any():
        return resized, kept
    empty, labelled = kept == 0, is_lost[numbers]
    return (
        _fill_empty(resized, empty, mask, labelled),
        _fill_empty(kept, empty, numbers, labelled),
    )


def _fill_empty(
    resized: np.ndarray, empty: np.ndarray, mask: np.ndarray, labelled: np.ndarray
) -> np.ndarray:
    """Fill each `empty` cell of `resized` with the first labelled pixel of `mask` within it.

    A pixel lies in the cell that holds its centre, as for the nearest neighbour.
    """
    rows, columns = (
        (2 * np.arange(old) + 1) * new // (2 * old)
        for old, new in zip(labelled.shape, empty.shape, strict=True)
    )
    ys, xs = np.nonzero(labelled & empty[rows[:, None], columns[None, :]])
    # Of several values for a cell the last assignment stays, so the first pixel comes last.
    ys, xs = ys[::-1], xs[::-1]
    filled = resized.copy()
    filled[rows[ys], columns[xs]] = mask[ys, xs]
    return filled


def _nearest(old: int, new: int) -> np.ndarray:
    """Return which of `old` positions Pillow takes for each of `new`.

    Masks of every type are thus resized alike.
    """
    ramp = Image.fromarray(np.arange(old, dtype=np.int32)[None])
    positions: np.ndarray = np.array(ramp.resize((new, 1), Image.Resampling.NEAREST))[0]
    return positions

"""Keep the decoded files of tiles, which are read one after another.

A file is compressed as a whole, so reading one tile costs as much as reading its image. Whoever
reads tiles reads those of an image together. A process keeps the last image and the last mask, and
earlier ones only while they are small. One file is decoded at a time, so that several threads never
hold several large ones.
"""

import math
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from ray_al.core.memory import return_unused_memory
from ray_al.core.reading import retried
from ray_al.datasets.cache import hold
from ray_al.datasets.mask_decoder import DecodedMask
from ray_al.datasets.pixels import PixelRule
from ray_al.datasets.rasters import open_values
from ray_al.datasets.read import read_data
from ray_al.datasets.strips import WHOLE_PIXELS
from ray_al.datasets.tiles import Tile

KEPT_BYTES = 1 << 28
"""Total size up to which earlier files are kept in addition to the last one."""

Content = TypeVar("Content")
_decoding = threading.Lock()


class WholeImage(NamedTuple):
    """The decoded content of an image file.

    Attributes:
        values: as they are stored, (H, W, C).
        declared: the value that the file itself names for pixels without data.
    """

    values: np.ndarray
    declared: float | None


class LastFiles(Generic[Content]):
    """Keeps the last decoded file, and earlier ones while all of them are small.

    Args:
        name: of the kind of files.
        size_of: returns the size of a content in bytes.
    """

    def __init__(self, name: str, size_of: Callable[[Content], int]) -> None:
        self._name = name
        self._size_of = size_of
        self._kept: list[tuple[object, Content]] = []

    def get(self, key: object, size: tuple[int, int], decode: Callable[[], Content]) -> Content:
        """Return the content of a file, which is decoded if it is not kept.

        Args:
            key: names the file and how it is decoded; compared by `==`.
            size: height and width in pixels.
            decode: makes the content.
        """
        with _decoding:
            place = next((n for n, kept in enumerate(self._kept) if kept[0] == key), None)
            if place is not None:
                return self._kept[place][1]
            self._make_room()
            if math.prod(size) > WHOLE_PIXELS:
                return_unused_memory()
            content = decode()
            self._kept.append((key, content))
            hold(self._name, self._num_bytes())
            return content

    def clear(self) -> None:
        """Keep nothing."""
        with _decoding:
            self._kept.clear()
            hold(self._name, 0)

    def _make_room(self) -> None:
        """Drop the earliest files until the others are small; before a file is decoded."""
        while self._num_bytes() > KEPT_BYTES:
            del self._kept[0]

    def _num_bytes(self) -> int:
        return sum(self._size_of(content) for _, content in self._kept)


_images: LastFiles[WholeImage] = LastFiles("images", lambda image: image.values.nbytes)
masks: LastFiles[DecodedMask] = LastFiles("masks", lambda mask: mask.ids.nbytes)


def read_whole(uri: str, tile: Tile, rule: PixelRule) -> WholeImage:
    """Read the image file of a tile.

    Raises:
        DataError: it is missing or broken, its values are not what the rule covers, or it has
            another size than the tiles were made for.
        ReadError: it could not be read just now, or there was not enough memory.
    """

    def decode() -> WholeImage:
        # The bytes of the file are dropped before its pixels are copied.
        opened = retried(
            uri, lambda: open_values(read_data(uri), uri, rule.channels), (MemoryError,)
        )
        rule.check(opened.stored, uri)
        values = retried(uri, lambda: opened.values(uri), (MemoryError,))
        return WholeImage(values, opened.declared)

    whole = _images.get((uri, rule), tile.image, decode)
    tile.check((whole.values.shape[0], whole.values.shape[1]), uri)
    return whole


def forget_files() -> None:
    """Free the memory of decoded files, once no further tile of them is about to be read."""
    _images.clear()
    masks.clear()

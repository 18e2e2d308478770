"""Maps of region ids: one an image, as bytes, and many of them as a table that is stored in parts."""

import io
from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.ndimage import find_objects

from ray_al.core.errors import DataError
from ray_al.core.families.regions import Regions
from ray_al.core.parquet import read_parquet
from ray_al.core.types import Box

MAX_REGIONS = 1 << 16
MAP_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("num_regions", pa.int32()),
        ("map", pa.binary()),  # 16-bit greyscale PNG, the id of every native pixel
    ]
)


class MappedRegions(Regions):
    """A kind that finds an image's regions from what it shows; they are kept as a map."""

    needs: ClassVar[str] = "a pass over the pool's images"
    needs_maps: ClassVar[bool] = True

    @abstractmethod
    def segment(self, image: np.ndarray) -> np.ndarray:
        """The map int32 (H, W) of an image uint8 (H, W, 3), RGB: ids 0 to R - 1, none left out, R >= 1.

        It is the same on every run and for any number of threads.

        Raises:
            DataError: this image cannot be divided; it is then left out, as one that cannot be read.
            ConfigError: no image can be.
        """
        raise NotImplementedError

    @abstractmethod
    def expected_regions(self, height: int, width: int) -> int:
        """As `Regions.expected_regions`."""
        raise NotImplementedError

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "MapRegions":
        """The regions that a stored map holds.

        Raises:
            DataError: there is no map, or it is of another size.
        """
        if data is None:
            raise DataError(
                f"an image of {height}x{width} pixels has no map of {self.kind}; make the maps of the run before its regions are asked for"
            )
        labels_HW = decode_map(data)
        if labels_HW.shape != (height, width):
            found = f"{labels_HW.shape[0]}x{labels_HW.shape[1]}"
            raise DataError(
                f"a map of {found} pixels for an image of {height}x{width}; the image has changed, start a new run"
            )
        return MapRegions(labels_HW)


class MapRegions:
    """The regions of a map.

    Args:
        labels: int32 (H, W), ids 0 to R - 1.

    Raises:
        DataError: an id is negative, or an id below the highest has no pixel.
    """

    def __init__(self, labels: np.ndarray) -> None:
        lowest = int(labels.min())
        if lowest < 0:
            raise DataError(f"a map of regions holds id {lowest}; number its regions from 0")
        self.labels = labels
        self.num_pixels = np.bincount(labels.ravel())
        if not self.num_pixels.all():
            gap = int(self.num_pixels.argmin())
            raise DataError(
                f"a map of regions has ids up to {self.num_regions - 1}, and none of its pixels is {gap}; number its regions without gaps"
            )

    @property
    def num_regions(self) -> int:
        return len(self.num_pixels)

    @cached_property
    def boxes(self) -> np.ndarray:
        """int32 (R, 4): top, left, bottom, right, half-open, tight."""
        places = find_objects(self.labels + 1)
        return np.array(
            [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in places],
            dtype=np.int32,
        )

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = self.boxes[regions]
        return chosen

    def box(self, region: int) -> Box:
        top, left, bottom, right = map(int, self.boxes[region])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def mask(self, region: int) -> np.ndarray | None:
        box = self.box(region)
        if box.num_pixels == self.num_pixels[region]:
            return None
        return self.labels[box.top : box.bottom, box.left : box.right] == region


def encode_map(labels: np.ndarray) -> bytes:
    """int32 (H, W) as a 16-bit greyscale PNG: 15 kB for 200 superpixels of 360x480 pixels.

    Raises:
        DataError: an id is negative or above 65,535.
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= MAX_REGIONS:
        raise DataError(
            f"a map of regions holds ids {low} to {high}, a stored one 0 to {MAX_REGIONS - 1}; lower regions.count"
        )
    buffer = io.BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_map(data: bytes) -> np.ndarray:
    """The inverse of `encode_map`: int32 (H, W).

    Raises:
        DataError: the bytes are no such map.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
    except Exception as error:  # a decoder may raise anything where a file is damaged
        raise DataError(
            f"a map of regions cannot be read ({error}); delete the part that holds it, it is made again"
        ) from None
    if image.mode != "I;16":
        raise DataError(
            f"a map of regions has mode {image.mode}, expected a 16-bit greyscale PNG; delete the part that holds it, it is made again"
        )
    return np.array(image).astype(np.int32)


def maps_table(rows: Iterable[tuple[int, str, np.ndarray]]) -> pa.Table:
    """MAP_SCHEMA of (image_index, image_id, labels int32 (H, W)), in the order of `rows`."""
    columns: tuple[list, ...] = ([], [], [], [])
    for image_index, image_id, labels in rows:
        for column, value in zip(
            columns, (image_index, image_id, int(labels.max()) + 1, encode_map(labels)), strict=True
        ):
            column.append(value)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, MAP_SCHEMA, strict=True)],
        schema=MAP_SCHEMA,
    )


class MapPart:
    """One part of the table of maps, held encoded.

    Args:
        data: the part as Parquet.
    """

    def __init__(self, data: bytes) -> None:
        self.table = read_parquet(data)
        self._row_of = {
            index: row for row, index in enumerate(self.table.column("image_index").to_pylist())
        }

    def __contains__(self, image_index: int) -> bool:
        return image_index in self._row_of

    def num_regions(self, image_index: int) -> int:
        """Regions of an image."""
        return int(self.table.column("num_regions")[self._row(image_index)].as_py())

    def map(self, image_index: int) -> bytes:
        """The encoded map of an image.

        Raises:
            DataError: the part has none of it.
        """
        return self.table.column("map")[self._row(image_index)].as_py()

    def _row(self, image_index: int) -> int:
        if image_index not in self._row_of:
            raise DataError(
                f"image {image_index} has no map among the {len(self._row_of)} of this part; make the maps of the run again"
            )
        return self._row_of[image_index]

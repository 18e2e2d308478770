"""Maps of region ids: one per image, encoded, and tables of many maps that are stored in parts."""

import io
from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.ndimage import find_objects

from ray_al.core.errors import DataError
from ray_al.core.families.regions import Regions
from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.core.types import Box, FileRef

MAX_REGIONS = 1 << 16
"""Regions of one image that a map can number, with 16 bits."""
MAP_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("num_regions", pa.int32()),
        ("map", pa.binary()),  # 16-bit greyscale PNG, the id of every native pixel
    ]
)
"""Maps of images."""


class MappedRegions(Regions):
    """A kind that finds an image's regions in its content, and keeps them as a map."""

    needs: ClassVar[str] = "a pass over the pool's images"
    needs_maps: ClassVar[bool] = True

    @abstractmethod
    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return the map of an image, the same on every run and for any number of threads.

        Args:
            image: uint8 (H, W, 3), RGB.

        Returns:
            int32 (H, W), ids 0 to R - 1 without gaps, R >= 1.

        Raises:
            DataError: this image cannot be divided; it is left out, like an unreadable one.
            ConfigError: no image can be divided.
        """
        raise NotImplementedError

    @abstractmethod
    def expected_regions(self, height: int, width: int) -> int:
        """Return roughly how many regions an image has; see `Regions.expected_regions`."""
        raise NotImplementedError

    def of_image(self, height: int, width: int, data: bytes | None = None) -> "MapRegions":
        """Return the regions of a stored map; see `Regions.of_image`.

        Raises:
            DataError: there is no map, or it has another size than the image.
        """
        if data is None:
            raise DataError(
                f"an image of {height}x{width} pixels has no map of {self.kind}; "
                "make the maps of the run before its regions are asked for"
            )
        labels_HW = decode_map(data)
        if labels_HW.shape != (height, width):
            found = f"{labels_HW.shape[0]}x{labels_HW.shape[1]}"
            raise DataError(
                f"a map of {found} pixels for an image of {height}x{width}; "
                "the image has changed, start a new run"
            )
        return MapRegions(labels_HW)


class MapRegions:
    """The regions of one map.

    Args:
        region_map: int32 (H, W), ids 0 to R - 1.

    Raises:
        DataError: an id is negative, or an id below the highest has no pixel.
    """

    def __init__(self, region_map: np.ndarray) -> None:
        lowest = int(region_map.min())
        if lowest < 0:
            raise DataError(f"a map of regions holds id {lowest}; number its regions from 0")
        self.region_map = region_map
        self.num_pixels = np.bincount(region_map.ravel())
        if not self.num_pixels.all():
            gap = int(self.num_pixels.argmin())
            raise DataError(
                f"a map of regions has ids up to {self.num_regions - 1}, and none of its pixels "
                f"is {gap}; number its regions without gaps"
            )

    @property
    def num_regions(self) -> int:
        """Return R, the number of regions."""
        return len(self.num_pixels)

    @cached_property
    def boxes(self) -> np.ndarray:
        """Return int32 (R, 4): top, left, bottom, right, half-open, tight."""
        places = find_objects(self.region_map + 1)
        return np.array(
            [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in places],
            dtype=np.int32,
        )

    def boxes_of(self, regions: np.ndarray) -> np.ndarray:
        """Return int32 (n, 4), the boxes of some regions; `regions` is int (n,)."""
        chosen: np.ndarray = self.boxes[regions]
        return chosen

    def box(self, region: int) -> Box:
        """Return the box of a region."""
        top, left, bottom, right = map(int, self.boxes[region])
        return Box(top=top, left=left, bottom=bottom, right=right)

    def mask(self, region: int) -> np.ndarray | None:
        """Return the region's pixels, bool in the shape of its box; None if they fill the box."""
        box = self.box(region)
        if box.num_pixels == self.num_pixels[region]:
            return None
        inside: np.ndarray = self.region_map[box.top : box.bottom, box.left : box.right] == region
        return inside


def encode_map(region_map: np.ndarray) -> bytes:
    """Encode a map, int32 (H, W), as a 16-bit greyscale PNG.

    It takes 15 kB for an image of 360x480 pixels with 200 superpixels.

    Raises:
        DataError: an id is negative or above 65,535.
    """
    low, high = int(region_map.min()), int(region_map.max())
    if low < 0 or high >= MAX_REGIONS:
        raise DataError(
            f"a map of regions holds ids {low} to {high}, a stored one 0 to {MAX_REGIONS - 1}; "
            "lower regions.count"
        )
    buffer = io.BytesIO()
    Image.fromarray(region_map.astype(np.uint16)).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_map(data: bytes) -> np.ndarray:
    """Decode a map, int32 (H, W), that `encode_map` encoded.

    Raises:
        DataError: the bytes are not such a map.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
    except Exception as error:  # a decoder may raise anything for a damaged file
        raise DataError(
            f"a map of regions cannot be read ({error}); "
            "delete the part that holds it, it is made again"
        ) from None
    if image.mode != "I;16":
        raise DataError(
            f"a map of regions has mode {image.mode}, expected a 16-bit greyscale PNG; "
            "delete the part that holds it, it is made again"
        )
    return np.array(image).astype(np.int32)


def maps_table(rows: Iterable[tuple[int, str, np.ndarray]]) -> pa.Table:
    """Return a table of maps, MAP_SCHEMA.

    Args:
        rows: (image_index, image_id, map int32 (H, W)) of each image.
    """
    encoded = [
        {
            "image_index": image_index,
            "image_id": image_id,
            "num_regions": int(region_map.max()) + 1,
            "map": encode_map(region_map),
        }
        for image_index, image_id, region_map in rows
    ]
    return pa.Table.from_pylist(encoded, schema=MAP_SCHEMA)


class MapPart:
    """One part of the table of maps, which stay encoded.

    Args:
        data: the part as Parquet.
    """

    def __init__(self, data: bytes) -> None:
        self.table = read_parquet(data)
        self._row_of = {
            index: row for row, index in enumerate(self.table.column("image_index").to_pylist())
        }

    def map(self, image_index: int) -> bytes:
        """Return the encoded map of an image.

        Raises:
            DataError: the part has no map of it.
        """
        return bytes(self.table.column("map")[self._row(image_index)].as_py())

    def _row(self, image_index: int) -> int:
        if image_index not in self._row_of:
            raise DataError(
                f"image {image_index} has no map among the {len(self._row_of)} of this part; "
                "make the maps of the run again"
            )
        return self._row_of[image_index]


@lru_cache(maxsize=4)
def read_maps(run_uri: str, ref: FileRef) -> MapPart:
    """Return a part of the maps of a run; the last few are kept in memory.

    Raises:
        StorageError: the file is missing or differs from what the journal recorded.
        DataError: it is no table.
    """
    return MapPart(Storage(run_uri).read_ref(ref))

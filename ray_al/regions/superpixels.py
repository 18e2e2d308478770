"""Superpixels: connected patches of like colour, made once from an image and kept as a map."""

import importlib
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ray_al.core.errors import ConfigError, DataError
from ray_al.regions.connect import connect
from ray_al.regions.maps import MapRegions, decode_map

METHODS = ("seeds", "slic")
MIN_PIXELS = 16
"""Mean pixels of a superpixel below which no more are asked for."""
CRUMB_SHARE = 0.25
"""Pieces below this share of the mean size are merged into neighbours."""
ITERATIONS = 10
SEEDS_LEVELS = (4, 3, 2)
SEEDS_BINS = 5
SEEDS_PRIOR = 2
SEEDS_MIN_COUNT = 16
MIN_SIDE, MAX_ASPECT = 64, 2
"""OpenCV crashes, or never ends, on images with fewer than two superpixels along a side (opencv_contrib issue 2023)."""
_SETTING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Superpixels:
    """About `count` superpixels an image.

    Attributes:
        method: `seeds` or `slic`.
        count: asked for, lowered to one in 16 pixels; an image has somewhat more or fewer.
        compactness: of SLIC, the weight of distance against colour; SEEDS has none.
    """

    method: str = "seeds"
    count: int = 200
    compactness: float = 10.0

    needs_maps: ClassVar[bool] = True
    is_sparse: ClassVar[bool] = False

    def segment(self, image: np.ndarray) -> np.ndarray:
        """The map int32 (H, W) of an image uint8 (H, W, 3); see `segment`."""
        return segment(image, self.method, self.count, self.compactness)

    def of_image(self, height: int, width: int, data: bytes | None = None) -> MapRegions:
        """The regions that a stored map holds.

        Raises:
            DataError: there is no map, or it is of another size.
        """
        if data is None:
            raise DataError(
                f"an image of {height}x{width} pixels has no map of superpixels; make the maps of the run before its regions are asked for"
            )
        labels_HW = decode_map(data)
        if labels_HW.shape != (height, width):
            found = f"{labels_HW.shape[0]}x{labels_HW.shape[1]}"
            raise DataError(f"a map of {found} pixels for an image of {height}x{width}; the image has changed, start a new run")
        return MapRegions(labels_HW)


def segment(image: np.ndarray, method: str, count: int, compactness: float) -> np.ndarray:
    """Superpixels of an image: the same map on every run and for any number of threads, on one OpenCV version and processor.

    SEEDS: Van den Bergh et al., ECCV 2012, on HSV histograms (on CamVid its regions then agree best with the classes). SLIC: Achanta et
    al., TPAMI 2012, on CIELAB. Ids are split into 4-connected pieces; pieces below a quarter of the mean size, or 4 pixels, are merged into
    neighbours (`connect`). SEEDS begins with more where fewer than 16 are asked for; merging then lowers their number.

    Args:
        image: uint8 (H, W, 3), RGB.
        method: `seeds` or `slic`.
        count: superpixels asked for, lowered to one in 16 pixels.
        compactness: of SLIC.

    Returns:
        int32 (H, W), ids 0 to R - 1 in the order of their first pixels, R >= 1.

    Raises:
        ConfigError: an unknown method, or OpenCV's contributed modules are missing.
    """
    if method not in METHODS:
        raise ConfigError(f"regions.method: {method!r} is unknown; choose from {', '.join(METHODS)}")
    cv2 = _opencv()
    height, width = image.shape[:2]
    count = max(1, min(count, height * width // MIN_PIXELS))
    repeats = _repeats(height, width)
    enlarged = np.ascontiguousarray(image.repeat(repeats[0], axis=0).repeat(repeats[1], axis=1))
    with _one_thread(cv2):
        labels = _seeds(cv2, enlarged, count) if method == "seeds" else _slic(cv2, enlarged, count, compactness)
    return connect(labels[:: repeats[0], :: repeats[1]], CRUMB_SHARE * max(MIN_PIXELS, height * width / count))


def _seeds(cv2: Any, image: np.ndarray, count: int) -> np.ndarray:
    height, width = image.shape[:2]
    number, levels = _seeds_settings(height, width, count)
    seeds = cv2.ximgproc.createSuperpixelSEEDS(width, height, 3, number, levels, SEEDS_PRIOR, SEEDS_BINS, False)
    seeds.iterate(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL), ITERATIONS)
    return seeds.getLabels()


def _seeds_settings(height: int, width: int, count: int) -> tuple[int, int]:
    """The number to ask OpenCV for and the levels with which it begins with nearly `count` superpixels: it gives fewer than asked for."""
    asked = [round(max(count, SEEDS_MIN_COUNT) * (1 + step / 8)) for step in range(9)]
    choices = [(number, levels) for levels in SEEDS_LEVELS for number in asked]
    return min(choices, key=lambda choice: abs(_seeds_start(height, width, *choice) - count))


def _seeds_start(height: int, width: int, count: int, levels: int) -> int:
    """Superpixels that OpenCV's SEEDS begins with, from whole blocks halved `levels - 1` times; 0 where blocks fall below a pixel."""
    rows = int(math.sqrt(count * height / width))
    columns = rows * width // height
    halvings = 2 ** (levels - 1)
    if height < rows * halvings or width < columns * halvings:
        return 0
    block_height, block_width = math.ceil(height / rows / halvings), math.ceil(width / columns / halvings)
    return (height // block_height // halvings) * (width // block_width // halvings)


def _slic(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    size = round(math.sqrt(image.shape[0] * image.shape[1] / count))
    slic = cv2.ximgproc.createSuperpixelSLIC(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), cv2.ximgproc.SLIC, size, compactness)
    slic.iterate(ITERATIONS)
    return slic.getLabels()


def _repeats(height: int, width: int) -> tuple[int, int]:
    """How often rows and columns are repeated so that no side is below MIN_SIDE or shorter than the other over MAX_ASPECT."""
    shortest = max(MIN_SIDE, -(-max(height, width) // MAX_ASPECT))
    return -(-shortest // height), -(-shortest // width)


def _opencv() -> Any:
    try:
        cv2 = importlib.import_module("cv2")
        cv2.ximgproc.createSuperpixelSEEDS  # noqa: B018 - builds without the contributed modules lack it
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"regions.kind=superpixels needs OpenCV's contributed modules ({error}); pip install ray_al[superpixels]") from None
    return cv2


@contextmanager
def _one_thread(cv2: Any) -> Iterator[None]:
    """OpenCV on one thread, and as before afterwards: the setting is the whole process's, so threads take turns."""
    with _SETTING:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)

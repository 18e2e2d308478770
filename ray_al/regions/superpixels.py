"""Superpixels: connected patches of like colour, made once from an image and kept as a map."""

import importlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.section import Positive
from ray_al.regions.connect import connect
from ray_al.regions.maps import MappedRegions

MIN_PIXELS = 16
"""Mean pixels of a superpixel below which no more are asked for."""
CRUMB_SHARE = 0.25
"""Pieces below this share of the mean size are merged into neighbours."""
FELZENSZWALB_CRUMB_SHARE = 0.125
"""The same of `felzenszwalb`, whose pieces differ in size by far: poles and people on CamVid are lost with larger ones."""
ITERATIONS = 10
SEEDS_LEVELS = (4, 3, 2)
SEEDS_BINS = 5
SEEDS_PRIOR = 2
SEEDS_MIN_COUNT = 16
FELZENSZWALB_SIGMA = 0.5
FELZENSZWALB_SCALES = tuple(2 ** (step / 2) for step in range(0, 25))
"""Ascending: the larger, the fewer and larger its regions."""
MIN_SIDE, MAX_ASPECT = 64, 2
"""OpenCV crashes, or never ends, on images with fewer than two superpixels along a side (opencv_contrib issue 2023)."""
_SETTING = threading.Lock()


class Superpixels(MappedRegions):
    """About `count` superpixels an image."""

    kind: Literal["superpixels"] = "superpixels"
    method: Literal["seeds", "slic", "felzenszwalb"] = "seeds"
    """Algorithm that finds the superpixels; those of `felzenszwalb` differ in size, and keep thin
    things apart from what is behind them.
    """
    count: Annotated[int, Field(ge=1, le=60_000)] = 200
    """Number of superpixels wanted in an image, lowered to one in 16 pixels; the method finds
    somewhat more or fewer.
    """
    compactness: Positive = 10.0
    """With `method: slic`, the weight of distance against colour; larger values give squarer
    superpixels.
    """

    paper: ClassVar[str] = (
        "SEEDS: Van den Bergh et al., ECCV 2012; SLIC: Achanta et al., TPAMI 2012; Felzenszwalb and Huttenlocher, IJCV 2004"
    )
    told_keys: ClassVar[tuple[str, ...]] = ("method", "count")

    def segment(self, image: np.ndarray) -> np.ndarray:
        """As `MappedRegions.segment`; see `segment`."""
        return segment(image, self.method, self.count, self.compactness)

    def expected_regions(self, height: int, width: int) -> int:
        """As `Regions.expected_regions`."""
        return self.count


def segment(image: np.ndarray, method: str, count: int, compactness: float) -> np.ndarray:
    """Superpixels of an image: the same map on every run and for any number of threads, on one OpenCV version and processor.

    SEEDS: Van den Bergh et al., ECCV 2012, on HSV histograms (on CamVid its regions then agree best with the classes). SLIC: Achanta et
    al., TPAMI 2012, on CIELAB. Felzenszwalb and Huttenlocher, IJCV 2004, on CIELAB: regions as large as what looks alike, so that one holds a
    whole sky and another a pole; an image without `count` different ones has fewer.

    Ids are split into 4-connected pieces; pieces below a quarter of the mean size (of `felzenszwalb` an eighth), or 4 pixels, are merged
    into neighbours (`connect`). SEEDS begins with more where fewer than 16 are asked for; merging then lowers their number.

    Args:
        image: uint8 (H, W, 3), RGB.
        method: `seeds`, `slic` or `felzenszwalb`.
        count: superpixels asked for, lowered to one in 16 pixels.
        compactness: of SLIC.

    Returns:
        int32 (H, W), ids 0 to R - 1 in the order of their first pixels, R >= 1.

    Raises:
        ConfigError: an unknown method, or OpenCV's contributed modules are missing.
    """
    if method not in METHODS:
        raise ConfigError(
            f"regions.method: {method!r} is unknown; choose from {', '.join(METHODS)}"
        )
    cv2 = _opencv()
    height, width = image.shape[:2]
    count = max(1, min(count, height * width // MIN_PIXELS))
    repeats = _repeats(height, width)
    enlarged = np.ascontiguousarray(image.repeat(repeats[0], axis=0).repeat(repeats[1], axis=1))
    with _one_thread(cv2):
        labels = METHODS[method].find(cv2, enlarged, count, compactness)
    return connect(
        labels[:: repeats[0], :: repeats[1]], _least_pixels(method, height * width, count)
    )


def _least_pixels(method: str, num_pixels: int, count: int) -> float:
    """Pixels below which a piece is a crumb."""
    return max(CRUMB_SHARE * MIN_PIXELS, METHODS[method].crumb_share * num_pixels / count)


def _seeds(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    height, width = image.shape[:2]
    number, levels = _seeds_settings(height, width, count)
    seeds = cv2.ximgproc.createSuperpixelSEEDS(
        width, height, 3, number, levels, SEEDS_PRIOR, SEEDS_BINS, False
    )
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
    block_height, block_width = (
        math.ceil(height / rows / halvings),
        math.ceil(width / columns / halvings),
    )
    return (height // block_height // halvings) * (width // block_width // halvings)


def _slic(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    size = round(math.sqrt(image.shape[0] * image.shape[1] / count))
    slic = cv2.ximgproc.createSuperpixelSLIC(
        cv2.cvtColor(image, cv2.COLOR_RGB2LAB), cv2.ximgproc.SLIC, size, compactness
    )
    slic.iterate(ITERATIONS)
    return slic.getLabels()


def _felzenszwalb(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    """At the scale that gives the number nearest to `count`, found by halving: the number falls as the scale grows, but for small steps up."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    least = math.ceil(_least_pixels("felzenszwalb", image.shape[0] * image.shape[1], count))
    low, high = 0, len(FELZENSZWALB_SCALES) - 1
    maps: dict[int, np.ndarray] = {}

    def at(step: int) -> np.ndarray:
        if step not in maps:
            graph = cv2.ximgproc.segmentation.createGraphSegmentation(
                FELZENSZWALB_SIGMA, FELZENSZWALB_SCALES[step], least
            )
            maps[step] = graph.processImage(lab)
        return maps[step]

    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).max() + 1 >= count else (low, middle)
    best: np.ndarray = min(
        (at(low), at(high)), key=lambda labels: abs(int(labels.max()) + 1 - count)
    )
    return best


class Method(NamedTuple):
    """A way to find superpixels."""

    find: Callable[[Any, np.ndarray, int, float], np.ndarray]
    """(OpenCV, image uint8 (H, W, 3), count, compactness) -> ids, any int (H, W)."""
    crumb_share: float
    """Pieces below this share of the mean size are merged into neighbours."""


METHODS: Mapping[str, Method] = {
    "seeds": Method(_seeds, CRUMB_SHARE),
    "slic": Method(_slic, CRUMB_SHARE),
    "felzenszwalb": Method(_felzenszwalb, FELZENSZWALB_CRUMB_SHARE),
}


def _repeats(height: int, width: int) -> tuple[int, int]:
    """How often rows and columns are repeated so that no side is below MIN_SIDE or shorter than the other over MAX_ASPECT."""
    shortest = max(MIN_SIDE, -(-max(height, width) // MAX_ASPECT))
    return -(-shortest // height), -(-shortest // width)


def _opencv() -> Any:
    try:
        cv2 = importlib.import_module("cv2")
        cv2.ximgproc.createSuperpixelSEEDS  # noqa: B018 - builds without the contributed modules lack it
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"regions.kind=superpixels needs OpenCV's contributed modules ({error}); pip install ray_al[superpixels]"
        ) from None
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

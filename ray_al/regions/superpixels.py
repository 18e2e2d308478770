"""Superpixels, which are connected patches of similar colour, made once and kept as a map."""

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
"""Smallest mean size of superpixels, in pixels, which limits their number in small images."""
CRUMB_SHARE = 0.25
"""Pieces below this share of the mean size are merged into neighbours."""
FELZENSZWALB_CRUMB_SHARE = 0.125
"""The same for `felzenszwalb`, whose pieces differ widely in size.

With a larger share, poles and people on CamVid are lost.
"""
ITERATIONS = 10
"""Iterations of SEEDS and of SLIC."""
SEEDS_LEVELS = (4, 3, 2)
SEEDS_BINS = 5
SEEDS_PRIOR = 2
SEEDS_MIN_COUNT = 16
FELZENSZWALB_SIGMA = 0.5
FELZENSZWALB_SCALES = tuple(2 ** (step / 2) for step in range(0, 25))
"""Scales in ascending order: a larger one gives fewer and larger regions."""
MIN_SIDE = 64
MAX_ASPECT = 2
"""Limits, with MIN_SIDE, of the images that OpenCV is given.

It crashes, or never ends, on images with fewer than two superpixels along a side (opencv_contrib
issue 2023).
"""
_SETTING = threading.Lock()
"""Held while OpenCV's number of threads is changed."""


class Superpixels(MappedRegions):
    """About `count` superpixels per image."""

    kind: Literal["superpixels"] = "superpixels"
    method: Literal["seeds", "slic", "felzenszwalb"] = "seeds"
    """Algorithm that finds the superpixels; those of `felzenszwalb` differ in size, and keep thin
    objects separate from the background.
    """
    count: Annotated[int, Field(ge=1, le=60_000)] = 200
    """Number of superpixels wanted per image, at most one per 16 pixels; the method finds somewhat
    more or fewer.
    """
    compactness: Positive = 10.0
    """With `method: slic`, the weight of distance against colour; larger values give squarer
    superpixels.
    """

    paper: ClassVar[str] = (
        "SEEDS: Van den Bergh et al., ECCV 2012; SLIC: Achanta et al., TPAMI 2012; "
        "Felzenszwalb and Huttenlocher, IJCV 2004"
    )
    distinguishing_keys: ClassVar[tuple[str, ...]] = ("method", "count")

    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return the map of an image; see the function `segment`."""
        return segment(image, self.method, self.count, self.compactness)

    def expected_regions(self, height: int, width: int) -> int:
        """Return `count`, which the map comes close to."""
        return self.count


def segment(image: np.ndarray, method: str, count: int, compactness: float) -> np.ndarray:
    """Divide an image into superpixels.

    The map is the same on every run and for any number of threads, on one OpenCV version and
    processor. The methods are:

    - `seeds`: Van den Bergh et al., ECCV 2012, on HSV histograms, with which its regions agree best
      with the classes of CamVid. It starts with more than `count` superpixels if fewer than 16 are
      asked for; merging then lowers their number.
    - `slic`: Achanta et al., TPAMI 2012, on CIELAB.
    - `felzenszwalb`: Felzenszwalb and Huttenlocher, IJCV 2004, on CIELAB. A region is as large as
      the area that looks alike, so one is a whole sky and another a pole. An image without `count`
      different areas has fewer regions.

    Ids are split into 4-connected pieces. Pieces below a quarter of the mean size (an eighth for
    `felzenszwalb`), or below 4 pixels, are merged into neighbours (`connect`).

    Args:
        image: uint8 (H, W, 3), RGB.
        method: `seeds`, `slic` or `felzenszwalb`.
        count: number of superpixels, lowered to one per 16 pixels.
        compactness: weight of distance against colour in SLIC; other methods ignore it.

    Returns:
        int32 (H, W), ids 0 to R - 1 in the order of their first pixels, R >= 1.

    Raises:
        ConfigError: the method is unknown, or OpenCV's contributed modules are missing.
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
        segments = METHODS[method].find(cv2, enlarged, count, compactness)
    segments = segments[:: repeats[0], :: repeats[1]]
    return connect(segments, _least_pixels(method, height * width, count))


def _least_pixels(method: str, num_pixels: int, count: int) -> float:
    """Return the number of pixels below which a piece is merged into a neighbour."""
    return max(CRUMB_SHARE * MIN_PIXELS, METHODS[method].crumb_share * num_pixels / count)


def _seeds(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    """Return the ids that SEEDS finds."""
    height, width = image.shape[:2]
    number, levels = _seeds_settings(height, width, count)
    seeds = cv2.ximgproc.createSuperpixelSEEDS(
        width, height, 3, number, levels, SEEDS_PRIOR, SEEDS_BINS, False
    )
    seeds.iterate(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL), ITERATIONS)
    segments: np.ndarray = seeds.getLabels()
    return segments


def _seeds_settings(height: int, width: int, count: int) -> tuple[int, int]:
    """Return the number to ask OpenCV for, and the number of levels, to start with about `count`.

    OpenCV starts with fewer superpixels than it is asked for.
    """
    asked = [round(max(count, SEEDS_MIN_COUNT) * (1 + step / 8)) for step in range(9)]
    choices = [(number, levels) for levels in SEEDS_LEVELS for number in asked]
    return min(choices, key=lambda choice: abs(_seeds_start(height, width, *choice) - count))


def _seeds_start(height: int, width: int, count: int, levels: int) -> int:
    """Return the number of superpixels with which OpenCV's SEEDS starts.

    They are whole blocks that are halved `levels - 1` times; 0 if blocks would be below a pixel.
    """
    rows = int(math.sqrt(count * height / width))
    columns = rows * width // height
    halvings: int = 2 ** (levels - 1)
    if height < rows * halvings or width < columns * halvings:
        return 0
    block_height = math.ceil(height / rows / halvings)
    block_width = math.ceil(width / columns / halvings)
    return (height // block_height // halvings) * (width // block_width // halvings)


def _slic(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    """Return the ids that SLIC finds."""
    size = round(math.sqrt(image.shape[0] * image.shape[1] / count))
    slic = cv2.ximgproc.createSuperpixelSLIC(
        cv2.cvtColor(image, cv2.COLOR_RGB2LAB), cv2.ximgproc.SLIC, size, compactness
    )
    slic.iterate(ITERATIONS)
    segments: np.ndarray = slic.getLabels()
    return segments


def _felzenszwalb(cv2: Any, image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    """Return the ids found at the scale whose number of superpixels is nearest to `count`.

    The scale is found by halving: the number falls as the scale grows, except for small steps up.
    """
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
        (at(low), at(high)), key=lambda segments: abs(int(segments.max()) + 1 - count)
    )
    return best


class Method(NamedTuple):
    """A way to find superpixels."""

    find: Callable[[Any, np.ndarray, int, float], np.ndarray]
    """From (OpenCV, image uint8 (H, W, 3), count, compactness) to ids, int (H, W)."""
    crumb_share: float
    """Pieces below this share of the mean size are merged into neighbours."""


METHODS: Mapping[str, Method] = {
    "seeds": Method(_seeds, CRUMB_SHARE),
    "slic": Method(_slic, CRUMB_SHARE),
    "felzenszwalb": Method(_felzenszwalb, FELZENSZWALB_CRUMB_SHARE),
}


def _repeats(height: int, width: int) -> tuple[int, int]:
    """Return how often to repeat rows and columns so the image is large enough for OpenCV.

    Then no side is below MIN_SIDE, or shorter than the other side divided by MAX_ASPECT.
    """
    shortest = max(MIN_SIDE, -(-max(height, width) // MAX_ASPECT))
    return -(-shortest // height), -(-shortest // width)


def _opencv() -> Any:
    """Return the module cv2, which is optional.

    Raises:
        ConfigError: it is missing, or lacks the contributed modules.
    """
    try:
        cv2 = importlib.import_module("cv2")
        # Builds without the contributed modules lack this name.
        cv2.ximgproc.createSuperpixelSEEDS  # noqa: B018
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"regions.kind=superpixels needs OpenCV's contributed modules ({error}); "
            "pip install ray_al[superpixels]"
        ) from None
    return cv2


@contextmanager
def _one_thread(cv2: Any) -> Iterator[None]:
    """Run OpenCV on one thread inside the block.

    The setting holds for the whole process, so the threads of this process take turns.
    """
    with _SETTING:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)

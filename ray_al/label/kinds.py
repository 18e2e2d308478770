"""What is asked about a region, and the right answer to it.

Each function takes the ground truth of the region's box, class ids uint8 (h, w) with 255 for void, and the region's mask, bool (h, w),
or None where the region fills its box.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ray_al.core.types import IGNORE_INDEX

Label = np.ndarray | int | tuple[int, ...]
"""A dense label, a dominant class, or the classes present."""


def dense(ids: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """The class of every pixel.

    Returns:
        uint8 (h, w), 255 outside the region and where it is void.
    """
    return ids if region is None else np.where(region, ids, np.uint8(IGNORE_INDEX))


def dominant(ids: np.ndarray, region: np.ndarray | None = None) -> int:
    """The class with most pixels; the lower id where two have as many, 255 where the region is all void.

    It labels every pixel of the region, void ones and those of other classes too: one click tells no more. RevSpx and ASAL count void
    as one more class, and leave a region unlabelled where it wins; here the commonest class wins however little of it there is.

    >>> dominant(np.array([[2, 2, 1], [1, 0, 255]], np.uint8))
    1
    """
    counts = np.bincount(dense(ids, region).ravel(), minlength=256)[:IGNORE_INDEX]
    return int(counts.argmax()) if counts.any() else IGNORE_INDEX


def classes(ids: np.ndarray, region: np.ndarray | None = None) -> tuple[int, ...]:
    """The classes present, ascending, void left out; empty where the region is all void.

    MulActSeg has in its code a further class for void, which the network learns to predict; here void adds no class. Its scripts also
    leave out classes that are only seen within a few pixels of the border of the region; here every pixel counts.

    >>> classes(np.array([[2, 2, 1], [1, 0, 255]], np.uint8))
    (0, 1, 2)
    """
    return tuple(int(value) for value in np.unique(dense(ids, region)) if value != IGNORE_INDEX)


@dataclass(frozen=True, kw_only=True)
class LabelKind:
    """A row of the table: `answer` maps (ids, region) to the label."""

    paper: str
    answer: Callable[[np.ndarray, np.ndarray | None], Label]


KINDS: Mapping[str, LabelKind] = {
    "dense": LabelKind(paper="every pixel by polygons; EquAL: Golestaneh and Kitani, BMVC 2020", answer=dense),
    "dominant": LabelKind(paper="RevSpx: Cai et al., CVPR 2021", answer=dominant),
    "classes": LabelKind(paper="MulActSeg: Hwang et al., NeurIPS 2023", answer=classes),
}

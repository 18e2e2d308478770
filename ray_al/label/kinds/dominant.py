"""The class that most of a region's pixels have."""

from typing import ClassVar, Literal

import numpy as np

from ray_al.core.errors import DataError
from ray_al.core.families.labels import Label, Place
from ray_al.core.types import IGNORE_INDEX
from ray_al.label.kinds.dense import dense
from ray_al.label.kinds.sets import SetLabel


def dominant(ids: np.ndarray, region: np.ndarray | None = None) -> int:
    """The class with most pixels; the lower id of two with as many, 255 where all is void.

    It labels every pixel of the region, void ones and those of other classes too: one click tells
    no more. RevSpx and ASAL count void as one more class, and leave a region unlabelled where it
    wins; here the commonest class wins however little of it there is.

    >>> dominant(np.array([[2, 2, 1], [1, 0, 255]], np.uint8))
    1
    """
    counts = np.bincount(dense(ids, region).ravel(), minlength=256)[:IGNORE_INDEX]
    return int(counts.argmax()) if counts.any() else IGNORE_INDEX


class DominantLabel(SetLabel):
    """One class for a region, with one click."""

    kind: Literal["dominant"] = "dominant"
    sieve: bool = False
    """Whether a model trains only on those pixels that the last model finds likely (ASAL)."""

    paper: ClassVar[str] = "RevSpx: Cai et al., CVPR 2021"

    @property
    def sieves(self) -> bool:
        return self.sieve

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> Label:
        return dominant(ids, region)

    def of_ids(self, ids: tuple[int, ...], place: Place) -> Label:
        if len(ids) > 1:
            raise DataError(f"{len(ids)} classes, the dominant one is asked for; name one")
        return ids[0] if ids else IGNORE_INDEX

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        return 1

    def clicks(self, label: Label, region: np.ndarray | None) -> int:
        return 1

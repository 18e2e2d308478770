"""Labels that name the class with most of a region's pixels."""

from typing import ClassVar, Literal

import numpy as np

from ray_al.core.errors import DataError
from ray_al.core.families.label_parts import Place
from ray_al.core.families.labels import RegionLabel
from ray_al.core.types import IGNORE_INDEX
from ray_al.label.kinds.dense import dense
from ray_al.label.kinds.sets import SetLabel


def dominant(ids: np.ndarray, region: np.ndarray | None = None) -> int:
    """Return the class with most pixels, the lower id in a tie; 255 if all pixels are void.

    It labels every pixel of the region, including void ones and those of other classes: one click
    says no more. RevSpx and ASAL count void as a class, and leave a region unlabelled if void wins;
    here the commonest class wins however few pixels it has.

    Args:
        ids: class ids of the region's box, uint8 (h, w), 255 for void.
        region: bool (h, w), or None if the region fills its box.

    >>> dominant(np.array([[2, 2, 1], [1, 0, 255]], np.uint8))
    1
    """
    counts = np.bincount(dense(ids, region).ravel(), minlength=256)[:IGNORE_INDEX]
    return int(counts.argmax()) if counts.any() else IGNORE_INDEX


class DominantLabel(SetLabel):
    """One class for the whole region, given with one click."""

    kind: Literal["dominant"] = "dominant"
    sieve: bool = False
    """Whether a model trains only on pixels whose label the last model finds likely (ASAL)."""

    paper: ClassVar[str] = "RevSpx: Cai et al., CVPR 2021"

    @property
    def sieves(self) -> bool:
        """Return `sieve`; see `LabelKind.sieves`."""
        return self.sieve

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> RegionLabel:
        """Return the class with most pixels; see `dominant`."""
        return dominant(ids, region)

    def of_ids(self, ids: tuple[int, ...], place: Place) -> RegionLabel:
        """Return the one class of an answer, 255 for none."""
        if len(ids) > 1:
            raise DataError(f"{len(ids)} classes, the dominant one is asked for; name one")
        return ids[0] if ids else IGNORE_INDEX

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        """Return 1."""
        return 1

    def clicks(self, label: RegionLabel, region: np.ndarray | None) -> int:
        """Return 1."""
        return 1

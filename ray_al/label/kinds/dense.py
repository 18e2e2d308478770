"""The class of every pixel of a region."""

from typing import Any, ClassVar, Literal

import numpy as np

from ray_al.core.families.labels import Classes, Label, LabelKind, Place
from ray_al.core.section import Count
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.compose import encode_mask
from ray_al.label.answers import read_mask


def dense(ids: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """The class of every pixel.

    Args:
        ids: class ids of the region's box, uint8 (h, w), 255 for void.
        region: bool (h, w), or None where the region fills its box.

    Returns:
        uint8 (h, w), 255 outside the region and where it is void.
    """
    return ids if region is None else np.where(region, ids, np.uint8(IGNORE_INDEX))


class DenseLabel(LabelKind):
    """A mask, drawn as polygons."""

    kind: Literal["dense"] = "dense"
    max_clicks: Count = 100
    """Clicks that are reserved, and at most charged, for outlining one region; what an annotator
    would need beyond them is not paid for, which flatters dense labels in a curve against clicks
    where many regions reach this number.
    """

    paper: ClassVar[str] = "every pixel by polygons; EquAL: Golestaneh and Kitani, BMVC 2020"
    answer_ending: ClassVar[str] = "mask.png"

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> Label:
        return dense(ids, region)

    def read(self, data: bytes, place: Place, classes: Classes) -> Label:
        return dense(read_mask(data, place, classes), place.region)

    def columns(self, label: Label, region: np.ndarray | None) -> dict[str, Any]:
        return {"mask": encode_mask(np.asarray(label)), "classes": None}

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        """`max_clicks`, or for the smallest regions what their pixels allow.

        A label of n pixels has at most n components, and its n pixels at most 2n - 2 pairs of
        neighbours, so that the ends of label edges, 4n - 4, are no fewer than crossings and
        vertices together: 5n - 4 clicks.
        """
        return min(self.max_clicks, 5 * num_pixels - 4)

    def clicks(self, label: Label, region: np.ndarray | None) -> int:
        """RevSpx's polygon cost."""
        from ray_al.label.cost import polygon_clicks  # SciPy, which the configuration needs not

        return min(self.max_clicks, polygon_clicks(np.asarray(label), region))

    def explain_clicks(self) -> str:
        return f" with label.max_clicks={self.max_clicks}, refunded to what its label takes"

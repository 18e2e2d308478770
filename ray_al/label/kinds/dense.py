"""Labels that give the class of every pixel of a region."""

from typing import Any, ClassVar, Literal

import numpy as np

from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.families.labels import LabelKind, RegionLabel
from ray_al.core.section import Count
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.compose import encode_mask
from ray_al.label.answers import read_mask


def dense(ids: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Return the class of every pixel.

    Args:
        ids: class ids of the region's box, uint8 (h, w), 255 for void.
        region: bool (h, w), or None if the region fills its box.

    Returns:
        uint8 (h, w), 255 outside the region and for void.
    """
    return ids if region is None else np.where(region, ids, np.uint8(IGNORE_INDEX))


class DenseLabel(LabelKind):
    """A mask of the region, drawn as polygons."""

    kind: Literal["dense"] = "dense"
    max_clicks: Count = 100
    """Number of clicks reserved, and at most charged, for outlining one region; clicks beyond it
    are free, which flatters dense labels in a curve against clicks if many regions reach it.
    """

    paper: ClassVar[str] = "every pixel by polygons; EquAL: Golestaneh and Kitani, BMVC 2020"
    answer_ending: ClassVar[str] = "mask.png"

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> RegionLabel:
        """Return the ground truth inside the region; see `dense`."""
        return dense(ids, region)

    def read(self, data: bytes, place: Place, classes: Classes) -> RegionLabel:
        """Return the mask that a PNG holds; see `LabelKind.read`."""
        return dense(read_mask(data, place, classes), place.region)

    def columns(self, label: RegionLabel, region: np.ndarray | None) -> dict[str, Any]:
        """Return the encoded mask; see `LabelKind.columns`."""
        return {"mask": encode_mask(np.asarray(label)), "classes": None}

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        """Return `max_clicks`, or the most that the pixels of a very small region allow.

        A label of n pixels has at most n components. Its pixels have at most 2n - 2 pairs of
        neighbours, hence at most 4n - 4 ends of label edges, which bound crossings and vertices
        together. This gives 5n - 4 clicks.
        """
        return min(self.max_clicks, 5 * num_pixels - 4)

    def clicks(self, label: RegionLabel, region: np.ndarray | None) -> int:
        """Return RevSpx's polygon cost, at most `max_clicks`; see `polygon_clicks`."""
        # SciPy takes time to load, and a configuration needs none.
        from ray_al.label.cost import polygon_clicks

        return min(self.max_clicks, polygon_clicks(np.asarray(label), region))

    def explain_clicks(self) -> str:
        """Return a text that names `max_clicks`."""
        return f" with label.max_clicks={self.max_clicks}, refunded to what its label takes"

"""A label kind as a user writes it: in one file."""

from typing import ClassVar

import numpy as np

from ray_al.core.families.label_parts import Place
from ray_al.core.families.labels import RegionLabel
from ray_al.label.kinds.sets import SetLabel


class RarestLabel(SetLabel):
    """The class with fewest pixels, for a few clicks."""

    at_most: int = 2
    paper: ClassVar[str] = "my own"

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> RegionLabel:
        inside = ids if region is None else ids[region]
        known, counts = np.unique(inside[inside != 255], return_counts=True)
        return int(known[counts.argmin()]) if len(known) else 255

    def of_ids(self, ids: tuple[int, ...], place: Place) -> RegionLabel:
        return ids[0] if ids else 255

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        return self.at_most

    def clicks(self, label: RegionLabel, region: np.ndarray | None) -> int:
        return self.at_most

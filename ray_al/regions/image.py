"""Whole images as regions."""

from typing import ClassVar, Literal

from ray_al.core.families.regions import Regions
from ray_al.regions.grid import GridRegions


class WholeImage(Regions):
    """One region per image, a grid of one cell."""

    kind: Literal["image"] = "image"

    paper: ClassVar[str] = "whole images"
    are_boxes: ClassVar[bool] = True
    is_whole_image: ClassVar[bool] = True

    def of_image(self, height: int, width: int, data: bytes | None = None) -> GridRegions:
        """Return the image as one region; see `Regions.of_image`."""
        return GridRegions(rows=1, columns=1, height=height, width=width)

    def describe(self, differing: object) -> str:
        """Return the name for groups of runs, whichever settings differ."""
        return "images"

"""Values that annotators and kinds of labels share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.core.types import Box

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a region in its image, in native pixels.

    Attributes:
        box: box of the region.
        context: box of the picture that people see.
        region: bool (h, w), the pixels of the box that belong to the region; None for all.
    """

    box: Box
    context: Box
    region: np.ndarray | None

    @property
    def num_pixels(self) -> int:
        """Return the number of pixels of the region."""
        return self.box.num_pixels if self.region is None else int(np.count_nonzero(self.region))


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Names and colours of the classes, by id."""

    names: Sequence[str]
    colors: Sequence[Color]

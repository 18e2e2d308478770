"""The base class of label kinds whose answers are lists of class names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.families.labels import LabelKind, RegionLabel
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.bits import check_num_classes
from ray_al.datasets.compose import encode_mask
from ray_al.label.answers import read_classes

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class SetLabel(LabelKind):
    """A set of classes for a whole region; each of its pixels may have any of them."""

    is_partial: ClassVar[bool] = True
    answer_ending: ClassVar[str] = "classes.json"

    def check(self, config: "RunConfig", num_classes: int) -> None:
        """Refuse more classes than sets can hold; see `LabelKind.check`."""
        check_num_classes(num_classes, self.kind)

    def read(self, data: bytes, place: Place, classes: Classes) -> RegionLabel:
        """Return the label that a list of class names or ids gives; see `LabelKind.read`."""
        return self.of_ids(read_classes(data, classes.names), place)

    def of_ids(self, ids: tuple[int, ...], place: Place) -> RegionLabel:
        """Return the label that the classes of an answer give.

        Args:
            ids: class ids, ascending.
            place: place of the region.

        Raises:
            DataError: they do not answer the question, or are impossible for the region.
        """
        raise NotImplementedError

    def columns(self, label: RegionLabel, region: np.ndarray | None) -> dict[str, Any]:
        """Return the region's pixels and its classes; see `LabelKind.columns`."""
        ids: Sequence[int] = [label] if isinstance(label, int) else list(np.atleast_1d(label))
        inside = None if region is None else np.where(region, np.uint8(255), np.uint8(0))
        return {
            "mask": None if inside is None else encode_mask(inside),
            "classes": [int(value) for value in ids if value != IGNORE_INDEX],
        }

"""Labels that name all classes present in a region."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.label_parts import Place
from ray_al.core.families.labels import RegionLabel
from ray_al.core.types import IGNORE_INDEX
from ray_al.label.kinds.dense import dense
from ray_al.label.kinds.sets import SetLabel

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


def classes(ids: np.ndarray, region: np.ndarray | None = None) -> tuple[int, ...]:
    """Return the ids of the classes present, ascending, without void; empty if all is void.

    MulActSeg's code has a further class for void, which the network learns to predict; here void
    adds no class. Its scripts also leave out classes that occur only within a few pixels of the
    region's border; here every pixel counts.

    Args:
        ids: class ids of the region's box, uint8 (h, w), 255 for void.
        region: bool (h, w), or None if the region fills its box.

    >>> classes(np.array([[2, 2, 1], [1, 0, 255]], np.uint8))
    (0, 1, 2)
    """
    present = np.unique(dense(ids, region))
    return tuple(int(value) for value in present if value != IGNORE_INDEX)


class ClassesLabel(SetLabel):
    """The classes present in a region.

    Each takes a click; a region without any takes one, for "nothing here". The count is MulActSeg's
    (`fair_counting` in its code).
    """

    kind: Literal["classes"] = "classes"

    paper: ClassVar[str] = "MulActSeg: Hwang et al., NeurIPS 2023"
    clicks_name_classes: ClassVar[bool] = True

    def check(self, config: "RunConfig", num_classes: int) -> None:
        """Refuse too many classes, and class weights; see `LabelKind.check`."""
        super().check(config, num_classes)
        if config.train.class_weights is not None:
            raise ConfigError(
                f"train.class_weights: not with label.kind={self.kind!r}, whose pixels may have "
                "several classes; leave them out"
            )

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> RegionLabel:
        """Return the ids of the classes present; see `classes`."""
        return classes(ids, region)

    def of_ids(self, ids: tuple[int, ...], place: Place) -> RegionLabel:
        """Return the classes, of which there are at most as many as pixels."""
        if len(ids) > place.num_pixels:
            raise DataError(
                f"{len(ids)} classes in a region of {place.num_pixels} pixel(s); "
                "a pixel has one class, name no more than there are pixels"
            )
        return ids

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        """Return one click for each class that fits into the region."""
        return min(num_classes, num_pixels)

    def clicks(self, label: RegionLabel, region: np.ndarray | None) -> int:
        """Return one click for each class, or one for none."""
        return max(1, len(np.atleast_1d(np.asarray(label, dtype=np.int64))))

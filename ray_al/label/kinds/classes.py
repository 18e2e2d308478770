"""The classes that are present in a region."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.labels import Label, Place
from ray_al.core.types import IGNORE_INDEX
from ray_al.label.kinds.dense import dense
from ray_al.label.kinds.sets import SetLabel

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


def classes(ids: np.ndarray, region: np.ndarray | None = None) -> tuple[int, ...]:
    """The classes present, ascending, void left out; empty where the region is all void.

    MulActSeg has in its code a further class for void, which the network learns to predict; here
    void adds no class. Its scripts also leave out classes that are only seen within a few pixels of
    the border of the region; here every pixel counts.

    >>> classes(np.array([[2, 2, 1], [1, 0, 255]], np.uint8))
    (0, 1, 2)
    """
    present = np.unique(dense(ids, region))
    return tuple(int(value) for value in present if value != IGNORE_INDEX)


class ClassesLabel(SetLabel):
    """The classes present, with a click each, or one click for "nothing here".

    The count is MulActSeg's (`fair_counting` in its code).
    """

    kind: Literal["classes"] = "classes"

    paper: ClassVar[str] = "MulActSeg: Hwang et al., NeurIPS 2023"
    clicks_name_classes: ClassVar[bool] = True

    def check(self, config: "RunConfig", num_classes: int) -> None:
        super().check(config, num_classes)
        if config.train.class_weights is not None:
            raise ConfigError(
                f"train.class_weights: not with label.kind={self.kind!r}, whose pixels may have several classes; leave them out"
            )

    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> Label:
        return classes(ids, region)

    def of_ids(self, ids: tuple[int, ...], place: Place) -> Label:
        if len(ids) > place.num_pixels:
            raise DataError(
                f"{len(ids)} classes in a region of {place.num_pixels} pixel(s); a pixel has one class, name no more than there are pixels"
            )
        return ids

    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        return min(num_classes, num_pixels)

    def clicks(self, label: Label, region: np.ndarray | None) -> int:
        return max(1, len(np.atleast_1d(np.asarray(label, dtype=np.int64))))

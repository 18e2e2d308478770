"""Label kinds, which say what is asked about a region, how it is answered and how it trains."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from ray_al.core.families.annotators import ANNOTATORS, Annotator
from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.types import Box

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig

RegionLabel = np.ndarray | int | tuple[int, ...]
"""Class ids, uint8 (h, w) with 255 for unknown; or the dominant class; or the classes present."""


class LabelKind(Section):
    """A question about a region, and its answers."""

    kind: str
    """Which label kind it is: a built-in kind, or `package.module:Class` for your own."""
    annotator: Annotated[Annotator, ANNOTATORS] = Field(
        default_factory=lambda: ANNOTATORS.parse("simulated")
    )
    """The annotator that answers."""
    validation: bool = False
    """Whether the annotator is asked for the masks of validation images that have none, before the
    first model is trained. Always whole masks, whatever `kind` is; the budget does not pay for
    them.
    """

    paper: ClassVar[str] = ""
    """Paper in which regions are labelled in this way."""
    is_partial: ClassVar[bool] = False
    """Whether a pixel's label is a set of classes that it may have (`train/partial.py`)."""
    clicks_name_classes: ClassVar[bool] = False
    """Whether each click names a class; otherwise one click does, and the others draw."""
    answer_ending: ClassVar[str]
    """Ending of files that answer tasks: `mask.png` for files such as `task-00000.mask.png`."""

    @property
    def sieves(self) -> bool:
        """Return whether a model trains only on pixels that the last model finds likely (ASAL)."""
        return False

    def check(self, config: "RunConfig", num_classes: int) -> None:
        """Refuse data or training settings with which such labels cannot be learnt.

        Raises:
            ConfigError: naming the key, the value and the remedy.
        """

    @abstractmethod
    def of_truth(self, ids: np.ndarray, region: np.ndarray | None) -> RegionLabel:
        """Return the right answer.

        Args:
            ids: the ground truth of the region's box, uint8 (h, w), 255 for void.
            region: bool (h, w), or None if the region fills its box.
        """
        raise NotImplementedError

    @abstractmethod
    def read(self, data: bytes, place: Place, classes: Classes) -> RegionLabel:
        """Return the label that a person's file gives.

        Args:
            data: content of the file.
            place: place of the region.
            classes: names and colours of the classes.

        Raises:
            DataError: the file is damaged or ambiguous, or its answer is impossible for the region;
                the message does not name the file.
        """
        raise NotImplementedError

    @abstractmethod
    def columns(self, label: RegionLabel, region: np.ndarray | None) -> dict[str, Any]:
        """Return `mask` and `classes` of LABEL_SCHEMA, from which training restores the label.

        `classes` is a list for sets of classes (`is_partial`), otherwise None.
        """
        raise NotImplementedError

    @abstractmethod
    def most_clicks(self, num_pixels: int, num_classes: int) -> int:
        """Return the most clicks that the label of a region of `num_pixels` can take."""
        raise NotImplementedError

    @abstractmethod
    def clicks(self, label: RegionLabel, region: np.ndarray | None) -> int:
        """Return the number of clicks that a label took, at least 1 and at most `most_clicks`."""
        raise NotImplementedError

    def explain_clicks(self) -> str:
        """Explain `most_clicks`, for messages; the text begins with a blank."""
        return ""

    def row(self, label: RegionLabel, box: Box, region: np.ndarray | None) -> dict[str, Any]:
        """Return the columns of LABEL_SCHEMA that hold an answer about a region."""
        values = {"box": list(box.as_tuple()), "kind": self.kind}
        return {**values, "clicks": self.clicks(label, region), **self.columns(label, region)}


LABELS = Family(
    "label",
    LabelKind,
    {
        "dense": "ray_al.label.kinds.dense:DenseLabel",
        "dominant": "ray_al.label.kinds.dominant:DominantLabel",
        "classes": "ray_al.label.kinds.classes:ClassesLabel",
    },
    default="dense",
)

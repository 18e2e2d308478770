"""The values that a report shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.core.types import Refusal
from ray_al.ledger.records import BrokenImage
from ray_al.report.rows import Row

Color = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class CycleView:
    """An image after one cycle.

    Attributes:
        photo: uint8 (H, W, 3).
        prediction: class ids, uint8 (H, W).
        entropy: in nats, float32 (H, W).
        labels: class ids, uint8 (H, W); 255 for no label.
        outlines: SVG path of each labelled region in a 1 x 1 box, and the cycle that labelled it.
    """

    cycle: int
    photo: np.ndarray
    prediction: np.ndarray
    entropy: np.ndarray
    labels: np.ndarray
    outlines: list[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class ImagePanel:
    """An image that the report follows."""

    image_id: str
    frames: list[CycleView]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The budget, in its unit."""

    unit: str
    amount: int
    spent: int


@dataclass(frozen=True, kw_only=True)
class MeasuredCycle:
    """The models that were measured on the labels of a cycle.

    Attributes:
        budget: the named budget, in units.
        mious: mIoU of each model on the validation split.
        spread: sample standard deviation of `mious`; None for one model.
        test: mean mIoU on the test split; None if there is none.
    """

    cycle: int
    budget: int
    mious: tuple[float, ...]
    miou: float
    spread: float | None
    test: float | None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the page.

    Attributes:
        state: why the run ended, or that it has not.
        rows: the rows of `curve.csv`.
        labelled_class_pixels: pixels of each class in the labelled set.
        val_class_pixels: pixels of each class in the validation masks.
        validation: sentences about validation images that people label.
        extensions: what was changed by extending the run, oldest first.
        extended: the first cycle that was trained after each extension.
        only_class: the class of every label so far; None if there are several, or no label.
        final_miou: mean mIoU of the final models; None if there are none.
        final_labels: how many of the labels they were trained on; empty if all.
        full_miou: mean mIoU of models that were trained on all labels; None if there are none.
    """

    name: str
    state: str
    class_names: tuple[str, ...]
    colors: tuple[Color, ...]
    rows: list[Row]
    budget: Budget
    labelled_class_pixels: Sequence[float]
    val_class_pixels: Sequence[int]
    unlabelled_classes: list[str]
    only_class: str | None
    images: list[ImagePanel]
    config_yaml: str
    quarantine: list[BrokenImage]
    validation: list[str]
    extensions: list[str]
    extended: frozenset[int]
    refused: Sequence[Refusal]
    measured: list[MeasuredCycle]
    final_miou: float | None
    final_labels: str
    full_miou: float | None

    @property
    def has_validation(self) -> bool:
        """Return whether the models of the cycles were evaluated."""
        return all(row["miou"] is not None for row in self.rows)

"""What a report shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Frame:
    """An image after one cycle; `outlines` are (SVG path in a 1 x 1 box, cycle in which the region was labelled)."""

    cycle: int
    photo: np.ndarray
    prediction: np.ndarray
    entropy: np.ndarray
    labels: np.ndarray
    outlines: list[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class ImagePanel:
    image_id: str
    frames: list[Frame]


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the page. `rows` are the rows of `curve.csv`; `final` and `upper_bound` the contents of their metrics.json."""

    name: str
    state: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    rows: list[dict[str, Any]]
    budget: dict[str, Any]
    labelled_class_pixels: list[int]
    val_class_pixels: list[int]
    unlabelled_classes: list[str]
    images: list[ImagePanel]
    config_yaml: str
    quarantine: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    measured: list[dict[str, Any]]
    """Of each measured cycle, in order: cycle, budget, `mious`, `miou`, `spread`, and `test`, the mean mIoU on the test split or None."""
    final: dict[str, Any] | None
    upper_bound: dict[str, Any] | None

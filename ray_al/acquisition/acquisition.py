"""Provide the bases of acquisition functions: one class per function, its settings as fields."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.families.acquisition import Inputs
from ray_al.core.section import Section

Attribution = Literal["none", "dominant", "hard", "soft"]


@dataclass(frozen=True)
class ClassStats:
    """Statistics of the pool by class, as the current model predicts it; float64.

    Images whose regions are all labelled are no longer scored, so they do not count.

    Attributes:
        mean_probability: (C,) mean of p_c over all pixels.
        dominant_regions: (C,) share of regions whose dominant class is c.
        dominant_pixels: (C,) share of pixels in regions whose dominant class is c.
        iou: (C,) on the validation set, nan if unknown.
        score_min: lowest region score of the pool before class weights.
        score_max: highest region score of the pool before class weights.
    """

    mean_probability: np.ndarray
    dominant_regions: np.ndarray
    dominant_pixels: np.ndarray
    iou: np.ndarray
    score_min: float
    score_max: float


class Acquisition(Section):
    """An acquisition function: it scores pixels, and higher means more worth labelling.

    Derive a function that compares several predictions from `ViewsAcquisition`, one that needs a
    single prediction from `LogitsAcquisition`. Both declare their own settings as fields.
    """

    kind: str
    """Name of the function, or `package.module:name` for your own."""
    paper: ClassVar[str] = ""
    """Its source, for `ray-al strategies`."""
    inputs: ClassVar[Inputs] = "none"
    """Its input: nothing, the logits of one pass, or statistics of several predictions, of
    transforms of the image or of stochastic passes."""
    wants: ClassVar[frozenset[str]] = frozenset()
    """The statistics that it reads; see `PredictionStatistics`."""
    aggregation: ClassVar[Literal["mean", "max"]] = "mean"
    """How the scores of a region's pixels become the region's score under `aggregation: auto`."""
    attribution: ClassVar[Attribution] = "none"
    """How a region's score is divided among classes: not at all, to its dominant class, by the
    predicted class of each pixel (`hard`), or by the probabilities of each pixel (`soft`)."""
    weighs_classes: ClassVar[bool] = False
    """Whether `class_weights` changes scores once the whole pool has been seen."""
    reads_validation: ClassVar[bool] = False
    """Whether `class_weights` reads `ClassStats.iou`, which needs validation images."""
    windowed: ClassVar[bool] = False
    """Whether a pixel's score already describes the window around it."""
    signed: ClassVar[bool] = False
    """Whether scores may be below 0."""

    @property
    def needs_model(self) -> bool:
        """Whether it looks at the predictions of a model."""
        return self.inputs != "none"

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Score each pixel, (N, H, W), from the logits of one pass.

        Called if `inputs` is `logits`.
        """
        raise NotImplementedError

    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Score each pixel, (N, H, W), from several predictions.

        Called if `inputs` is `transforms` or `passes`.
        """
        raise NotImplementedError

    def class_weights(self, stats: ClassStats) -> np.ndarray:
        """Return the weight of each class, float64 (C,). Called if `weighs_classes`."""
        raise NotImplementedError


class LogitsAcquisition(Acquisition):
    """Base of functions that score the logits of one pass."""

    inputs: ClassVar[Inputs] = "logits"

    @abstractmethod
    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Score each pixel, (N, H, W), from its float32 logits."""
        raise NotImplementedError


class ViewsAcquisition(Acquisition):
    """Base of functions that compare several predictions of an image."""

    inputs: ClassVar[Inputs] = "passes"

    @abstractmethod
    def score_views(self, views: PredictionStatistics) -> torch.Tensor:
        """Score each pixel, (N, H, W), from the statistics that `wants` names."""
        raise NotImplementedError

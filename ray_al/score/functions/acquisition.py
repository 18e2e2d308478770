"""What an acquisition function is: a row of the table, and the values that its parts take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch

from ray_al.score.views import Views

Inputs = Literal["none", "logits", "transforms", "passes"]
Attribution = Literal["none", "dominant", "hard", "soft"]


@dataclass(frozen=True)
class ScoreOptions:
    """Settings that functions share.

    Attributes:
        radius: of RIPU's window, in pixels of the logits.
        nu: of PixBal's weights, how much a frequent class is held back.
    """

    radius: int = 1
    nu: float = 6.0


@dataclass(frozen=True)
class ClassStats:
    """The pool by class, as the present model sees it; float64. Images whose regions are all labelled are no longer scored and not in it.

    Attributes:
        mean_probability: (C,) mean of p_c over all pixels.
        dominant_regions: (C,) share of regions whose dominant class is c.
        dominant_pixels: (C,) share of pixels in regions whose dominant class is c.
        iou: (C,) on the validation set, nan where unknown.
        score_min: lowest region score of the pool before weights.
        score_max: highest one.
    """

    mean_probability: np.ndarray
    dominant_regions: np.ndarray
    dominant_pixels: np.ndarray
    iou: np.ndarray
    score_min: float
    score_max: float


PixelScore = Callable[[torch.Tensor, ScoreOptions], torch.Tensor]
ViewScore = Callable[[Views], torch.Tensor]
ClassWeights = Callable[[ClassStats, ScoreOptions], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """A row of the table.

    Attributes:
        paper: its source.
        inputs: what it looks at: nothing, the logits of one pass, or `Views` over transforms of the image or over stochastic passes.
        pixel: (N, C, H, W) logits to an (N, H, W) score; where inputs is `logits`.
        views: `Views` to an (N, H, W) score; where inputs is `transforms` or `passes`.
        wants: what `views` reads.
        aggregation: how a region's pixels become its score by default: mean, sum, max or top_share.
        attribution: how a region's score is divided among classes: not, to its dominant class, by each pixel's predicted class
            (`hard`), or by each pixel's probabilities (`soft`).
        weights: (C,) of the classes; None leaves the score as it is.
        windowed: whether a pixel's score is that of the window around it already.
        signed: whether scores may be below 0.
        settings: the fields of `ScoreOptions` that it reads.
    """

    paper: str
    inputs: Inputs
    pixel: PixelScore | None = None
    views: ViewScore | None = None
    wants: frozenset[str] = frozenset()
    aggregation: str = "mean"
    attribution: Attribution = "none"
    weights: ClassWeights | None = None
    windowed: bool = False
    signed: bool = False
    settings: tuple[str, ...] = ()

    @property
    def needs_model(self) -> bool:
        return self.inputs != "none"

    def reads(self, key: str) -> bool:
        """Whether a setting of `strategy` changes what this function gives."""
        if key in _OF_INPUTS:
            return self.inputs in _OF_INPUTS[key]
        return key not in _OF_FUNCTIONS or key in self.settings


_OF_INPUTS: Mapping[str, tuple[Inputs, ...]] = {
    "temperature": ("logits", "transforms", "passes"),
    "aggregation": ("logits", "transforms", "passes"),
    "top_share": ("logits", "transforms", "passes"),
    "transforms": ("transforms",),
    "passes": ("passes",),
}
"""Settings of `strategy` that follow from what a function looks at."""
_OF_FUNCTIONS = frozenset(field.name for field in fields(ScoreOptions))
"""Settings of `strategy` that a function has for itself; its row says so."""

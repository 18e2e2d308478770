"""The time that a region's label is expected to take, learnt from the labels of a run.

CEREALS (Mackowiak et al., BMVC 2018, arXiv 1810.09726) weighs the information in a region against
clicks that a learned cost model predicts from the image; MetaBox+ (Colling et al., ICPRAM 2021,
arXiv 2010.01884) estimates clicks from the predicted segmentation. Here, clicks are a line over the
length of the outlines that the model predicted before the region was labelled. Neither paper's way
of joining cost and information is confirmed; here it is the ratio, a score per second.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from ray_al.core.strategy import LabelTime


@dataclass(frozen=True, kw_only=True)
class ExpectedClicks:
    """Clicks as a line over the length of predicted outlines; neither number is below 0.

    Attributes:
        base: clicks of a region without predicted outlines.
        per_pixel: clicks for each native pixel of predicted outlines.
    """

    base: float
    per_pixel: float

    def of(self, outlines: np.ndarray) -> np.ndarray:
        """Return the clicks of regions, float64 (R,), at least 1.

        Args:
            outlines: length of the predicted outlines in each region, (R,), in native pixels.
        """
        clicks: np.ndarray = np.maximum(1.0, self.base + self.per_pixel * outlines)
        return clicks


def fit_clicks(outlines: np.ndarray, clicks: np.ndarray) -> ExpectedClicks:
    """Fit the line by least squares.

    Args:
        outlines: length of the predicted outlines in each labelled region, (R,), in native pixels.
        clicks: that its label took, (R,).

    >>> fit_clicks(np.array([0.0, 10.0, 20.0]), np.array([2.0, 5.0, 8.0]))
    ExpectedClicks(base=2.0, per_pixel=0.3)
    """
    # Lengths of about 1 keep the two columns comparable.
    scale = max(1.0, float(np.mean(outlines)))
    columns = np.stack([np.ones(len(outlines)), outlines / scale], axis=1)
    (base, slope), _ = nnls(columns, clicks.astype(np.float64))
    return ExpectedClicks(base=round(float(base), 6), per_pixel=round(float(slope) / scale, 6))


def expected_seconds(
    clicks: np.ndarray, time: LabelTime, *, clicks_name_classes: bool
) -> np.ndarray:
    """Return the seconds that regions are expected to take, float64 (R,).

    Args:
        clicks: expected clicks of each region, at least 1.
        time: seconds of a click, and of what comes before.
        clicks_name_classes: whether each click names a class; otherwise the first one does, and
            the others draw.
    """
    naming = clicks if clicks_name_classes else np.ones(len(clicks))
    seconds: np.ndarray = (
        time.image + time.region + time.class_name * naming + time.click * (clicks - naming)
    )
    return seconds

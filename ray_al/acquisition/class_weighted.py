"""Score regions with class weights that favour rare or poorly learnt classes."""

from typing import ClassVar

import numpy as np

from ray_al.acquisition.acquisition import Attribution, ClassStats
from ray_al.acquisition.bvsb import BestVersusSecondBest
from ray_al.acquisition.entropy import Entropy
from ray_al.core.section import Weight


class ClassBalanced(BestVersusSecondBest):
    """RevSpx: weights that fall with the share of regions whose dominant class is c."""

    paper: ClassVar[str] = "RevSpx: Cai et al., CVPR 2021"
    attribution: ClassVar[Attribution] = "dominant"
    weighs_classes: ClassVar[bool] = True

    def class_weights(self, stats: ClassStats) -> np.ndarray:
        """Return exp(-f_c), f_c the share of regions whose dominant class is c."""
        weights: np.ndarray = np.exp(-stats.dominant_regions)
        return weights


class ClassBalancedPixels(BestVersusSecondBest):
    """ASAL: weights that fall with the share of pixels in regions whose dominant class is c.

    Not confirmed: that ASAL, whose code extends that of RevSpx, rescales the scores of the pool to
    [0, 1] as RevSpx does.
    """

    paper: ClassVar[str] = "ASAL: Kim et al., ICCV 2023"
    attribution: ClassVar[Attribution] = "dominant"
    weighs_classes: ClassVar[bool] = True

    def class_weights(self, stats: ClassStats) -> np.ndarray:
        """Return exp(-f_c), f_c the share of pixels in regions whose dominant class is c."""
        weights: np.ndarray = np.exp(-stats.dominant_pixels)
        return weights


class PixBal(BestVersusSecondBest):
    """PixBal of MulActSeg: weights that fall with the mean probability of a class.

    Hwang et al., NeurIPS 2023 (arXiv 2309.09319).
    """

    paper: ClassVar[str] = "MulActSeg: Hwang et al., NeurIPS 2023"
    attribution: ClassVar[Attribution] = "hard"
    weighs_classes: ClassVar[bool] = True

    nu: Weight = 6.0
    """How strongly frequent classes are held back."""

    def class_weights(self, stats: ClassStats) -> np.ndarray:
        """Return (1 + nu q_c)^-2, q_c the mean of p_c over the pool."""
        weights: np.ndarray = (1 + self.nu * stats.mean_probability) ** -2.0
        return weights


class ValidationGap(Entropy):
    """DCAU-AL: weights by how far the IoU of a class on the validation set is from 1.

    Not confirmed: the exact form. Public summaries of the paper name a power of the gap and a
    threshold on the scores, which are left out here.
    """

    paper: ClassVar[str] = "DCAU-AL, 2026 (arXiv 2604.08965)"
    attribution: ClassVar[Attribution] = "hard"
    weighs_classes: ClassVar[bool] = True
    reads_validation: ClassVar[bool] = True

    def class_weights(self, stats: ClassStats) -> np.ndarray:
        """Return 1 - IoU_c.

        Classes without an IoU get the mean of the others, 1 if none has one.
        """
        gaps = 1 - stats.iou
        known = ~np.isnan(gaps)
        return np.where(known, gaps, gaps[known].mean() if known.any() else 1.0)


class ClaspEntropy(Entropy):
    """Entropy whose scores are kept by class, for rules that split a query by class."""

    paper: ClassVar[str] = "ClaSP PE of nnActive, 2026"
    attribution: ClassVar[Attribution] = "soft"

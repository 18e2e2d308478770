"""Weights that hold frequent or well-learnt classes back; each is (C,) float64."""

import numpy as np

from ray_al.score.functions.acquisition import ClassStats, ScoreOptions


def region_balance(stats: ClassStats, options: ScoreOptions) -> np.ndarray:
    """exp(-f_c), f_c the share of regions whose dominant class is c: RevSpx, Cai et al., CVPR 2021."""
    return np.exp(-stats.dominant_regions)


def pixel_balance(stats: ClassStats, options: ScoreOptions) -> np.ndarray:
    """exp(-f_c), f_c the share of pixels in regions whose dominant class is c: ASAL, Kim et al., ICCV 2023.

    Not confirmed: that ASAL, whose code extends RevSpx's, rescales the pool's scores to [0, 1] as RevSpx does.
    """
    return np.exp(-stats.dominant_pixels)


def probability_balance(stats: ClassStats, options: ScoreOptions) -> np.ndarray:
    """(1 + nu q_c)^-2, q_c the pool's mean of p_c: PixBal of MulActSeg, Hwang et al., NeurIPS 2023 (arXiv 2309.09319)."""
    return (1 + options.nu * stats.mean_probability) ** -2.0


def iou_gap(stats: ClassStats, options: ScoreOptions) -> np.ndarray:
    """1 - IoU_c of the validation set: DCAU-AL, 2026 (arXiv 2604.08965).

    A class without a known IoU takes the mean gap of the others, 1 where none is known. Not confirmed: the exact form; public
    summaries of the paper name a power of the gap and a threshold on the scores, which are left out here.
    """
    gaps = 1 - stats.iou
    known = ~np.isnan(gaps)
    return np.where(known, gaps, gaps[known].mean() if known.any() else 1.0)

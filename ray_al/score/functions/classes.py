"""From pixel scores and predictions to class-aware region scores."""

import numpy as np
import torch

from ray_al.score.functions.acquisition import Acquisition, Attribution, ClassStats, ScoreOptions


def class_maps(
    scores_NHW: torch.Tensor, p_NCHW: torch.Tensor, attribution: Attribution
) -> torch.Tensor:
    """Each pixel's score divided among the classes, (N, C, H, W); its region means are `class_scores` of `final_scores`.

    Args:
        scores_NHW: s(u).
        p_NCHW: the predicted probabilities.
        attribution: `hard`: s(u) goes to argmax_c p_c(u), the lowest class of equals; `soft`: class c takes s(u) p_c(u).
    """
    if attribution == "soft":
        return scores_NHW[:, None] * p_NCHW
    return torch.zeros_like(p_NCHW).scatter_(
        1, p_NCHW.argmax(1, keepdim=True), scores_NHW[:, None].to(p_NCHW.dtype)
    )


def final_scores(
    scores: np.ndarray,
    dominant: np.ndarray | None,
    class_scores: np.ndarray | None,
    stats: ClassStats,
    acquisition: Acquisition,
    options: ScoreOptions,
) -> np.ndarray:
    """Region scores with the class weights that need the whole pool's statistics.

    With attribution `dominant` the scores are first rescaled to [0, 1] over the pool (RevSpx, Cai et al., CVPR 2021); where they are all
    equal each is 1, so that the classes decide. With `hard` and `soft` the classes' scores are added up by weight.

    Args:
        scores: float64 (R,) before weights.
        dominant: int (R,) class with most area; for attribution `dominant`.
        class_scores: float64 (R, C) region means by class; for `hard` and `soft`.
        stats: of the pool.
        acquisition: of the scores.
        options: of the weights.

    Returns:
        float32 (R,); a row depends on nothing but itself and `stats`.
    """
    if acquisition.weights is None:
        return scores.astype(np.float32)
    weights = acquisition.weights(stats, options)
    if acquisition.attribution == "dominant":
        assert dominant is not None
        span = stats.score_max - stats.score_min
        rescaled = (scores - stats.score_min) / span if span > 0 else np.ones_like(scores)
        return (rescaled * weights[dominant]).astype(np.float32)
    assert class_scores is not None
    # Not a matrix product: its rounding may change with the number of rows.
    return (np.ascontiguousarray(class_scores) * weights).sum(axis=1).astype(np.float32)

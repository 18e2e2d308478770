"""Turn pixel scores and predictions into class-aware region scores."""

import numpy as np
import torch

from ray_al.acquisition.acquisition import Acquisition, Attribution, ClassStats


def class_maps(
    scores_NHW: torch.Tensor, p_NCHW: torch.Tensor, attribution: Attribution
) -> torch.Tensor:
    """Divide the score of each pixel among the classes, (N, C, H, W).

    The means over regions are the `class_scores` that `final_scores` takes.

    Args:
        scores_NHW: score s(u) of each pixel u.
        p_NCHW: predicted probabilities.
        attribution: `hard` gives s(u) to argmax_c p_c(u), the lowest class among equals; `soft`
            gives s(u) p_c(u) to each class c.
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
) -> np.ndarray:
    """Return region scores with the class weights, which need statistics of the whole pool.

    For attribution `dominant`, scores are first rescaled to [0, 1] over the pool (RevSpx, Cai et
    al., CVPR 2021). If all are equal, each becomes 1, and the classes decide. For `hard` and
    `soft`, the result is the weighted sum of the scores by class.

    Args:
        scores: float64 (R,) before weights.
        dominant: int (R,) class with the largest area; for attribution `dominant`.
        class_scores: float64 (R, C) region means by class; for `hard` and `soft`.
        stats: of the pool.
        acquisition: the function that gave the scores.

    Returns:
        float32 (R,); each row depends only on itself and on `stats`.
    """
    if not acquisition.weighs_classes:
        return scores.astype(np.float32)
    weights = acquisition.class_weights(stats)
    if acquisition.attribution == "dominant":
        assert dominant is not None
        span = stats.score_max - stats.score_min
        rescaled = (scores - stats.score_min) / span if span > 0 else np.ones_like(scores)
        weighted: np.ndarray = rescaled * weights[dominant]
        return weighted.astype(np.float32)
    assert class_scores is not None
    # Not a matrix product: its rounding may change with the number of rows.
    totals: np.ndarray = (np.ascontiguousarray(class_scores) * weights).sum(axis=1)
    return totals.astype(np.float32)

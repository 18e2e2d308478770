"""RIPU: Xie et al., CVPR 2022 (arXiv 2111.12940), "Towards Fewer Annotations"."""

import math

import torch
from torch.nn.functional import avg_pool2d, one_hot

from ray_al.score.shannon import entropy, entropy_of_shares


def ripu(logits_NCHW: torch.Tensor, radius: int) -> torch.Tensor:
    """Region impurity times prediction uncertainty of the window around each pixel, (N, H, W), in [0, 1]; 0 with one class.

    Impurity is H(q) / ln C, q the shares of predicted classes in the window of (2 radius + 1)^2 pixels; uncertainty is the window's mean
    of H(p) / ln C. At an image's border the window is what of it lies in the image. The author's code divides by ln 19 always.

    Args:
        logits_NCHW: float (N, C, H, W).
        radius: of the window, in pixels of the logits.
    """
    num_classes = logits_NCHW.shape[1]
    if num_classes == 1:
        return torch.zeros_like(logits_NCHW[:, 0])
    predicted = one_hot(logits_NCHW.argmax(1), num_classes).movedim(-1, 1).to(logits_NCHW.dtype)
    impurity = entropy_of_shares(window_mean(predicted, radius))
    uncertainty = window_mean(entropy(logits_NCHW)[:, None], radius)[:, 0]
    return impurity * uncertainty / math.log(num_classes) ** 2


def window_mean(maps_NCHW: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over the pixels that exist of each square window; along columns, then rows, which is the same for a rectangle."""
    size = 2 * radius + 1
    columns = avg_pool2d(
        maps_NCHW, (size, 1), stride=1, padding=(radius, 0), count_include_pad=False
    )
    return avg_pool2d(columns, (1, size), stride=1, padding=(0, radius), count_include_pad=False)

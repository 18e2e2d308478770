"""Score pixels by RIPU: Xie et al., CVPR 2022 (arXiv 2111.12940), "Towards Fewer Annotations"."""

import math
from typing import ClassVar

import torch
from torch.nn.functional import avg_pool2d, one_hot

from ray_al.acquisition.acquisition import LogitsAcquisition
from ray_al.acquisition.shannon import entropy, entropy_of_shares
from ray_al.core.strategy import WindowRadius


class RegionImpurity(LogitsAcquisition):
    """Region impurity times prediction uncertainty of the window around each pixel."""

    paper: ClassVar[str] = "RIPU: Xie et al., CVPR 2022"
    windowed: ClassVar[bool] = True

    radius: WindowRadius = 1
    """Radius of the window, which is 2 * radius + 1 pixels of the logits wide."""

    def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
        """Return `ripu` with the window's radius."""
        return ripu(logits_NCHW, self.radius)


def ripu(logits_NCHW: torch.Tensor, radius: int) -> torch.Tensor:
    """Return impurity times uncertainty of each pixel's window, (N, H, W), in [0, 1].

    Impurity is H(q) / ln C, q being the shares of predicted classes in the window of
    (2 radius + 1)^2 pixels; uncertainty is the mean of H(p) / ln C over the window. At the border,
    only the part of the window inside the image counts. The score is 0 if there is one class. The
    authors' code divides by ln 19 whatever the number of classes.

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
    """Return the mean over the existing pixels of each square window, (N, C, H, W).

    Means along columns and then along rows equal the mean over the rectangle.
    """
    size = 2 * radius + 1
    columns = avg_pool2d(
        maps_NCHW, (size, 1), stride=1, padding=(radius, 0), count_include_pad=False
    )
    return avg_pool2d(columns, (1, size), stride=1, padding=(0, radius), count_include_pad=False)

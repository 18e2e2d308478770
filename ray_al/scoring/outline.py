"""Measure the outlines that the model predicts in each region."""

import numpy as np
import torch

from ray_al.scoring.pooling import Pooler


def outline_lengths(classes_HW: torch.Tensor, pooler: Pooler, size: tuple[int, int]) -> np.ndarray:
    """Return the length of the predicted outlines in each region, float32 (R,), in native pixels.

    An outline runs along every side that two cells of different classes share. Half of a side
    belongs to each of them, so a side on the border of two regions counts half in both.

    Args:
        classes_HW: predicted class of each cell, at the resolution of scoring.
        pooler: of the image's regions.
        size: height and width in native pixels of what the cells show.
    """
    sides = torch.zeros(classes_HW.shape)
    across = (classes_HW[:, 1:] != classes_HW[:, :-1]) / 2
    down = (classes_HW[1:] != classes_HW[:-1]) / 2
    sides[:, 1:] += across
    sides[:, :-1] += across
    sides[1:] += down
    sides[:-1] += down
    cell_side = (size[0] * size[1] / classes_HW.numel()) ** 0.5
    lengths: np.ndarray = pooler.mean(sides[None])[:, 0] * pooler.num_pixels / cell_side
    return lengths.astype(np.float32)

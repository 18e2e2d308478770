"""Means over boxes in native pixels of values at any resolution."""

import numpy as np
import torch


def overlap_weights(starts: np.ndarray, ends: np.ndarray, size: int, cells: int) -> torch.Tensor:
    """Share of each interval that falls on each of `cells` equal cells of an axis of `size` pixels.

    Returns:
        float32 (R, cells); every row sums to 1.
    """
    scale = cells / size
    edges = np.arange(cells + 1, dtype=np.float64)
    low, high = (values[:, None].astype(np.float64) * scale for values in (starts, ends))
    overlap = np.minimum(high, edges[None, 1:]) - np.maximum(low, edges[None, :-1])
    overlap = overlap.clip(0)
    return torch.from_numpy((overlap / overlap.sum(1, keepdims=True)).astype(np.float32))


def pool_boxes(values_NHW: torch.Tensor, boxes: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Fractional-area mean of each box: a cell counts by the part of it that the box covers.

    Args:
        values_NHW: values of images that are `height` x `width` native pixels, at any resolution.
        boxes: int (R, 4), top, left, bottom, right in native pixels.

    Returns:
        float32 (N, R).
    """
    rows = overlap_weights(boxes[:, 0], boxes[:, 2], height, values_NHW.shape[1]).to(values_NHW.device)
    columns = overlap_weights(boxes[:, 1], boxes[:, 3], width, values_NHW.shape[2]).to(values_NHW.device)
    return torch.einsum("nhw,rh,rw->nr", values_NHW.float(), rows, columns)

"""Logits at some pixels of images, interpolated there alone."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array


def sample_logits(
    logits: torch.Tensor, images: torch.Tensor, pixels: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """Return the values of `resize_logits(logits, size)` at some pixels.

    Each value is a sum of four cells with bilinear weights. Equal arguments give equal bits, in the
    gradient too.

    Args:
        logits: shape (N, C, h, w).
        images: int64 (P,), image of each pixel.
        pixels: int64 (P,), flat index of each pixel, row * width + column at `size`.
        size: (height, width) in pixels.

    Returns:
        float32 (P, C).
    """
    height, width = logits.shape[-2:]
    top, bottom, down = _neighbours(pixels // size[1], size[0], height)
    left, right, across = _neighbours(pixels % size[1], size[1], width)
    first = images * (height * width)
    corners = [first + row * width + column for row in (top, bottom) for column in (left, right)]
    weights = [v * h for v in (1 - down, down) for h in (1 - across, across)]
    cells = logits.float().permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    return _weighted_sums(cells, torch.stack(corners, 1), torch.stack(weights, 1))


def _weighted_sums(
    cells: torch.Tensor, corners: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return sum_k weights[p, k] * cells[corners[p, k]], float32 (P, C).

    On a GPU, the gradient of `embedding_bag` is deterministic, as that of an index is not. It sorts
    all corners, which a sparse product on a CPU need not do.

    Args:
        cells: float32 (cells, C).
        corners: int64 (P, K).
        weights: float32 (P, K).
    """
    if cells.device.type == "cpu":
        product: torch.Tensor = _SparseProduct.apply(cells, corners, weights)
        return product
    return F.embedding_bag(corners, cells, per_sample_weights=weights, mode="sum")


class _SparseProduct(torch.autograd.Function):
    """`_weighted_sums` on a CPU, differentiable with respect to `cells`."""

    @staticmethod
    def forward(
        ctx: Any, cells: torch.Tensor, corners: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        rows = np.arange(0, corners.numel() + 1, corners.shape[1])
        values = (weights.numpy().ravel(), corners.numpy().ravel(), rows)
        ctx.matrix = csr_array(values, shape=(len(corners), len(cells)))
        return torch.from_numpy(ctx.matrix @ cells.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return torch.from_numpy(ctx.matrix.T @ gradients[0].numpy()), None, None


def _neighbours(
    positions: torch.Tensor, size: int, cells: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the two cells around the centre of each position, and the weight of the second.

    Args:
        positions: int64 (P,), positions along a side of `size` pixels.
        size: number of pixels along the side.
        cells: number of cells along the side.
    """
    place = ((positions.float() + 0.5) * (cells / size) - 0.5).clamp(0, cells - 1)
    low = place.floor().long()
    return low, (low + 1).clamp(max=cells - 1), place - low

"""Which pixels a step's loss looks at: all labelled ones of the batch, or some that are drawn."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from ray_al.core.types import IGNORE_INDEX
from ray_al.train.losses import Sums, label_sums, resize_logits


class Targets(Protocol):
    """The labels of a worker's part of a batch."""

    def sums(self, logits: torch.Tensor, class_weights: torch.Tensor | None) -> Sums:
        """What the labels say of logits (N, C, h, w) at the head's resolution."""

    def dense(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits, float32, at the resolution where losses over all pixels are taken."""


class AllPixels:
    """Every labelled pixel: logits are resized to the labels' size.

    Args:
        labels: of `Batch`, on the device, int64.
    """

    def __init__(self, labels: torch.Tensor) -> None:
        self.labels = labels
        self.size = (labels.shape[1], labels.shape[2])

    def sums(self, logits: torch.Tensor, class_weights: torch.Tensor | None) -> Sums:
        """As `Targets.sums`."""
        return label_sums(resize_logits(logits, self.size), self.labels, class_weights)

    def dense(self, logits: torch.Tensor) -> torch.Tensor:
        """As `Targets.dense`: at the labels' size."""
        return resize_logits(logits, self.size).float()


class DrawnPixels:
    """Some labelled pixels; logits are interpolated at these alone, which is most of a small head's step.

    Losses over all pixels are taken at the head's own resolution. Of labels that are sets of classes,
    a region's prototypes are looked for among its drawn pixels.

    Args:
        labels: of `Batch`.
        pixels: of each image the flat numbers of the drawn pixels.
        device: where the logits lie.
    """

    def __init__(
        self, labels: np.ndarray, pixels: Iterable[np.ndarray], device: torch.device
    ) -> None:
        drawn = list(pixels)
        self.size = (labels.shape[1], labels.shape[2])
        images = np.repeat(np.arange(len(drawn)), [len(one) for one in drawn])
        flat = np.concatenate(drawn)
        chosen = labels.reshape(len(labels), -1, *labels.shape[3:])[images, flat].astype(np.int64)
        if chosen.ndim == 2:  # numbers of regions are an image's own
            chosen[:, 1] += images * (int(labels[..., 1].max()) + 1)
        self.labels = torch.from_numpy(chosen).to(device)
        self.images = torch.from_numpy(images).to(device)
        self.pixels = torch.from_numpy(flat).to(device)

    def sums(self, logits: torch.Tensor, class_weights: torch.Tensor | None) -> Sums:
        """As `Targets.sums`."""
        values = sample_logits(logits, self.images, self.pixels, self.size)
        return label_sums(values.T[None, :, :, None], self.labels[None, :, None], class_weights)

    def dense(self, logits: torch.Tensor) -> torch.Tensor:
        """As `Targets.dense`: as they are."""
        return logits.float()


def sample_logits(
    logits: torch.Tensor, images: torch.Tensor, pixels: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """The values that `resize_logits(logits, size)` has at some pixels.

    Each is a sum of four cells by their bilinear weights, a bag of `embedding_bag`, whose gradient is
    the same on every run.

    Args:
        logits: shape (N, C, h, w).
        images: int64 (P,), which of the N.
        pixels: int64 (P,), row * width + column at `size`.
        size: (height, width).

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
    return F.embedding_bag(
        torch.stack(corners, 1), cells, per_sample_weights=torch.stack(weights, 1), mode="sum"
    )


def _neighbours(
    positions: torch.Tensor, size: int, cells: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two cells, of `cells`, around the middles of positions of `size`, and the second's weight."""
    place = ((positions.float() + 0.5) * (cells / size) - 0.5).clamp(0, cells - 1)
    low = place.floor().long()
    return low, (low + 1).clamp(max=cells - 1), place - low


def labelled_pixels(labels: np.ndarray) -> list[np.ndarray]:
    """Of each image of `Batch.labels` the flat numbers of the labelled pixels."""
    known = labels != IGNORE_INDEX if labels.ndim == 3 else labels[..., 0] != 0
    return [np.flatnonzero(one) for one in known]


def share_out(counts: np.ndarray, limit: int) -> np.ndarray:
    """How many pixels each image of a batch gives, in proportion to its labelled ones.

    Args:
        counts: int64 (B,), labelled pixels of the images of the global batch.
        limit: at most so many in all.

    Returns:
        int64 (B,), each at most its count; their sum is the limit, or that of the counts.
    """
    total = int(counts.sum())
    if total <= limit:
        return counts
    shares: np.ndarray = np.diff(counts.cumsum() * limit // total, prepend=0)
    return shares

"""The labels that a step's loss uses: all labelled pixels of the batch, or some that are drawn."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch

from ray_al.core.families.losses import Loss
from ray_al.core.seeding import generator
from ray_al.core.types import IGNORE_INDEX, TrainPlan
from ray_al.train.comm import Comm
from ray_al.train.inputs import Places
from ray_al.train.losses import Sums, label_sums, resize_logits
from ray_al.train.sampled_logits import sample_logits


class Targets(Protocol):
    """Labels of a worker's part of a batch."""

    def sums(self, loss: Loss, logits: torch.Tensor, class_weights: torch.Tensor | None) -> Sums:
        """Sum the losses of the labels for logits (N, C, h, w) at the head's resolution."""

    def dense(self, logits: torch.Tensor) -> torch.Tensor:
        """Return float32 logits at the resolution at which losses over all pixels are computed."""


class AllPixels:
    """Uses every labelled pixel, for which logits are resized to the size of the labels.

    Args:
        labels: `Batch.labels` as an int64 tensor on the device of the logits.
    """

    def __init__(self, labels: torch.Tensor) -> None:
        self.labels = labels
        self.size = (labels.shape[1], labels.shape[2])

    def sums(self, loss: Loss, logits: torch.Tensor, class_weights: torch.Tensor | None) -> Sums:
        """As `Targets.sums`."""
        return label_sums(loss, resize_logits(logits, self.size), self.labels, class_weights)

    def dense(self, logits: torch.Tensor) -> torch.Tensor:
        """As `Targets.dense`, at the size of the labels."""
        return resize_logits(logits, self.size).float()


class DrawnPixels:
    """Uses some labelled pixels, and interpolates logits only there.

    With a small head, interpolating all logits would take most of a step. Losses over all pixels
    are computed at the head's own resolution. If labels are sets of classes, the prototypes of a
    region are searched among its drawn pixels.

    Args:
        labels: `Batch.labels`.
        pixels: for each image, the flat indices of its drawn pixels.
        device: device of the logits.
    """

    def __init__(
        self, labels: np.ndarray, pixels: Iterable[np.ndarray], device: torch.device
    ) -> None:
        drawn = list(pixels)
        self.size = (labels.shape[1], labels.shape[2])
        images = np.repeat(np.arange(len(drawn)), [len(indices) for indices in drawn])
        flat = np.concatenate(drawn)
        chosen = labels.reshape(len(labels), -1, *labels.shape[3:])[images, flat].astype(np.int64)
        if chosen.ndim == 2:  # make region numbers, which start from 1 in each image, unique
            chosen[:, 1] += images * (int(labels[..., 1].max()) + 1)
        self.labels = torch.from_numpy(chosen).to(device)
        self.images = torch.from_numpy(images).to(device)
        self.pixels = torch.from_numpy(flat).to(device)

    def sums(self, loss: Loss, logits: torch.Tensor, class_weights: torch.Tensor | None) -> Sums:
        """As `Targets.sums`."""
        values = sample_logits(logits, self.images, self.pixels, self.size)
        pixels = values.T[None, :, :, None]
        return label_sums(loss, pixels, self.labels[None, :, None], class_weights)

    def dense(self, logits: torch.Tensor) -> torch.Tensor:
        """As `Targets.dense`, at the head's resolution."""
        return logits.float()


def labelled_pixels(labels: np.ndarray) -> list[np.ndarray]:
    """Return the flat indices of the labelled pixels of each image of `Batch.labels`."""
    known = labels != IGNORE_INDEX if labels.ndim == 3 else labels[..., 0] != 0
    return [np.flatnonzero(known_HW) for known_HW in known]


class PixelLimit:
    """Draws the labelled pixels that a step uses, the same ones for any number of workers.

    Args:
        limit: largest number of pixels of the global batch.
        batch_size: number of images in the global batch.
        plan: plan of the training.
        comm: communication with the other workers.
    """

    def __init__(self, limit: int, batch_size: int, plan: TrainPlan, comm: Comm) -> None:
        self.limit = limit
        self.batch_size = batch_size
        self.plan = plan
        self.comm = comm

    def draw(
        self, labels: np.ndarray, places: Places, step: int, device: torch.device
    ) -> "DrawnPixels":
        """Draw labelled pixels of each image.

        Args:
            labels: `Batch.labels`.
            places: images of the batch.
            step: number of the step.
            device: device of the logits.
        """
        labelled = labelled_pixels(labels)
        own = list(places)
        counts = torch.zeros(self.batch_size, dtype=torch.int64)
        counts[own] = torch.tensor([len(pixels) for pixels in labelled])
        shares = share_out(self.comm.sum(counts.to(device)).cpu().numpy(), self.limit)
        drawn = []
        for place, pixels in zip(own, labelled, strict=True):
            if shares[place] < len(pixels):
                rng = generator("pixels", self.plan.seed, self.plan.cycle, step, place)
                pixels = rng.choice(pixels, shares[place], replace=False, shuffle=False)
            drawn.append(pixels)
        return DrawnPixels(labels, drawn, device)


def share_out(counts: np.ndarray, limit: int) -> np.ndarray:
    """Distribute a number of pixels over images, in proportion to their labelled pixels.

    Args:
        counts: int64 (B,), number of labelled pixels of each image of the global batch.
        limit: largest number of pixels in all.

    Returns:
        int64 (B,), each at most its count. The sum is `limit`, or the sum of the counts if that is
        smaller.
    """
    total = int(counts.sum())
    if total <= limit:
        return counts
    shares: np.ndarray = np.diff(counts.cumsum() * limit // total, prepend=0)
    return shares

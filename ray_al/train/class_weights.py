"""What a labelled pixel of each class weighs in the loss."""

import numpy as np
import torch

from ray_al.core.config import BalancedWeights, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.train.comm import Comm
from ray_al.train.samples import LabelledImages

LEAST_SHARE = 1e-3
"""Added to each class's share of the labelled pixels, so that a class of few pixels does not outweigh all others."""


def check_class_weights(train: TrainConfig, num_classes: int, *, key: str = "train") -> None:
    """Refuse class weights of another length than the data set's classes (ConfigError); `key` names the section."""
    weights = train.class_weights
    if isinstance(weights, tuple) and len(weights) != num_classes:
        raise ConfigError(
            f"{key}.class_weights: {len(weights)} values, the data set has {num_classes} classes; give one a class"
        )


def class_weights(
    train: TrainConfig, samples: LabelledImages, comm: Comm, device: torch.device
) -> torch.Tensor | None:
    """float32 (num_classes,), or None where all weigh alike."""
    weights = train.class_weights
    if isinstance(weights, BalancedWeights):
        pixels = comm.broadcast(samples.class_pixels() if comm.rank == 0 else None)
        if not any(pixels):  # labels of void alone: no loss to weigh
            return None
        weights = tuple(balanced_weights(np.array(pixels), weights.balanced).tolist())
    return None if weights is None else torch.tensor(weights, device=device)


def balanced_weights(pixels: np.ndarray, exponent: float) -> np.ndarray:
    """Weights (share + 0.001)^-exponent, scaled so that their mean over the labelled pixels is 1.

    Args:
        pixels: labelled pixels by class, shape (num_classes,), of which one at least is above 0.
        exponent: 0.5 weighs by the inverse square root of the share, 1 by its inverse.

    Returns:
        float64 (num_classes,).
    """
    share = pixels / pixels.sum()
    weights = (share + LEAST_SHARE) ** -exponent
    scaled: np.ndarray = weights / (weights * share).sum()
    return scaled

"""Weights of the classes in the loss."""

import numpy as np
import torch

from ray_al.core.config import BalancedWeights, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.train.comm import Comm
from ray_al.train.samples import LabelledImages

LEAST_SHARE = 1e-3
"""Added to the fraction of each class, so a class of very few pixels does not dominate the loss."""


def check_class_weights(train: TrainConfig, num_classes: int, *, key: str = "train") -> None:
    """Check that there is one weight per class.

    Args:
        train: section of the configuration that may list class weights.
        num_classes: number of classes of the data set.
        key: name of the section in the message.

    Raises:
        ConfigError: the number of weights is not the number of classes.
    """
    weights = train.class_weights
    if isinstance(weights, tuple) and len(weights) != num_classes:
        raise ConfigError(
            f"{key}.class_weights: {len(weights)} values, but the data set has {num_classes} "
            "classes; give one weight per class"
        )


def class_weights(
    train: TrainConfig, samples: LabelledImages, comm: Comm, device: torch.device
) -> torch.Tensor | None:
    """Return the class weights of a training. All workers must call this together.

    Args:
        train: settings of the training.
        samples: labelled images, which balanced weights are computed from.
        comm: communication with the other workers.
        device: device of the weights.

    Returns:
        float32 (num_classes,), or None if all classes have the same weight.
    """
    weights = train.class_weights
    if isinstance(weights, BalancedWeights):
        pixels = comm.broadcast(samples.class_pixels() if comm.rank == 0 else ())
        if not any(pixels):  # all labels are void, so the loss is 0 anyway
            return None
        weights = tuple(balanced_weights(np.array(pixels), weights.balanced).tolist())
    return None if weights is None else torch.tensor(weights, device=device)


def balanced_weights(pixels: np.ndarray, exponent: float) -> np.ndarray:
    """Return weights (share + 0.001)^-exponent, scaled to a mean of 1 over the labelled pixels.

    Args:
        pixels: number of labelled pixels of each class, shape (num_classes,), at least one above 0.
        exponent: 1 gives the inverse of a class's share of the pixels, 0.5 its inverse square root.

    Returns:
        float64 (num_classes,).
    """
    share = pixels / pixels.sum()
    weights = (share + LEAST_SHARE) ** -exponent
    scaled: np.ndarray = weights / (weights * share).sum()
    return scaled

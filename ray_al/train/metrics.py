"""Compute the metrics of a whole data set from one confusion matrix."""

import numpy as np

from ray_al.core.types import IGNORE_INDEX, Metrics


def confusion_matrix(pred: np.ndarray, target: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels by true (row) and predicted (column) class.

    Args:
        pred: class ids, any shape; ids that are not a class are counted in a column of their own.
        target: class ids of the same shape; 255 is ignored.
        num_classes: C.

    Returns:
        int64 (C, C + 1); the last column counts predictions that are not a class.
    """
    known = (target != IGNORE_INDEX) & (target < num_classes)
    truth = target[known].astype(np.int64)
    guess = pred[known].astype(np.int64)
    guess = np.where((guess >= 0) & (guess < num_classes), guess, num_classes)
    return np.bincount(
        truth * (num_classes + 1) + guess, minlength=num_classes * (num_classes + 1)
    ).reshape(num_classes, num_classes + 1)


def metrics_from_confusion(matrix: np.ndarray, num_images: int) -> Metrics:
    """Compute the mean IoU over the classes that occur, the pixel accuracy and the IoU per class.

    Args:
        matrix: counts of shape (C, C) or (C, C + 1), true class by predicted class.
        num_images: number of images that were counted.

    Returns:
        The metrics. A class that is absent from predictions and ground truth has the IoU None and
        does not enter the mean.
    """
    matrix = np.asarray(matrix, dtype=np.int64)
    num_classes = matrix.shape[0]
    right = np.diagonal(matrix[:, :num_classes])
    union = matrix.sum(1) + matrix[:, :num_classes].sum(0) - right
    iou = tuple(float(r / u) if u else None for r, u in zip(right, union, strict=True))
    present = [value for value in iou if value is not None]
    total = int(matrix.sum())
    return Metrics(
        miou=float(np.mean(present)) if present else 0.0,
        pixel_accuracy=float(right.sum() / total) if total else 0.0,
        iou=iou,
        num_images=num_images,
    )

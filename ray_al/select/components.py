"""Make features comparable: standardise them, weigh groups equally, reduce their dimensions."""

from collections.abc import Sequence

import numpy as np

BLOCK = 4096


def balanced(features: np.ndarray, groups: Sequence[int] = ()) -> np.ndarray:
    """Standardise features, and divide each by the root of the size of its group.

    A group of many dimensions then has the same weight in distances as a group of few. A constant
    dimension becomes 0.

    Args:
        features: (N, D).
        groups: sizes of groups of neighbouring dimensions, D in all; empty for one group.

    Returns:
        float32 (N, D).
    """
    if not len(features):
        return features.astype(np.float32)
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    is_constant = (features == features[:1]).all(axis=0)
    sizes = np.array(groups or [features.shape[1]], dtype=np.int64)
    scale = np.where(is_constant, 0, 1 / np.where(is_constant, 1, spread)) / np.sqrt(
        np.repeat(sizes, sizes)
    )
    result: np.ndarray = features.astype(np.float32) - mean.astype(np.float32)
    result *= scale.astype(np.float32)
    return result


def principal(features: np.ndarray, components: int) -> np.ndarray:
    """Return the coordinates along the first principal components (Pearson, 1901).

    Args:
        features: float32 (N, D), of mean 0.
        components: how many; 0 returns the features unchanged.

    Returns:
        float32 (N, components); the features unchanged if D is not larger.
    """
    num, size = features.shape
    if not 0 < components < size:
        return features
    covariance = np.zeros((size, size))
    for start in range(0, num, BLOCK):
        block = features[start : start + BLOCK].astype(np.float64)
        covariance += block.T @ block
    vectors = np.linalg.eigh(covariance)[1][:, ::-1][:, :components]
    coordinates: np.ndarray = features @ np.ascontiguousarray(vectors, dtype=np.float32)
    return coordinates

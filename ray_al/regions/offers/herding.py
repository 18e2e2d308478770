"""Regions that represent the whole image, by MaxHerding within it.

It is the first stage of Kim et al., NeurIPS 2025 (arXiv 2510.22229). The paper herds among 10,000
random pixels of an image, on features of a diffusion model, and keeps 50. Here the features are the
backbone's, and fewer pixels are drawn by default, since time grows with the square of their number.
With a frozen backbone, the candidates and their features do not depend on training.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ray_al.core.coverage import greedy_cover
from ray_al.core.variants import Offer, ScoredImage
from ray_al.regions.offers.apart import choose_in_order, free_pixels

WIDTH_FACTOR = 2.0
"""The kernel's width as a multiple of the median distance, as in the paper's public code."""


class HerdingOffer(Offer):
    """Pixels that greedily cover the image's features, under the kernel exp(-(d / width)^2)."""

    kind: Literal["herding"] = "herding"
    points: Annotated[int, Field(ge=2, le=20_000)] = 500
    """Number of pixels drawn from the image, which are both the candidates and the points to cover.
    """

    @property
    def reads_features(self) -> bool:
        """Return True; see `Offer.reads_features`."""
        return True

    def choose(self, image: ScoredImage) -> np.ndarray:
        """Return ids in the order of choice; see `Offer.choose`."""
        height, width = image.scores.shape
        free = free_pixels(height, width, radius=image.radius, taken=image.taken)
        drawn = image.rng.permutation(np.flatnonzero(free))
        ids = np.sort(
            choose_in_order(drawn, free, n=max(self.points, image.limit), radius=image.radius)
        )
        if len(ids) < 2:
            return ids[: image.limit]
        values = kernel_of(features_at(image.features, ids, height, width))
        uncovered = np.zeros(len(ids), dtype=np.float32)
        chosen = greedy_cover(values, uncovered, min(image.limit, len(ids)))
        rest = np.setdiff1d(np.arange(len(ids)), chosen)
        rest = rest[np.argsort(-image.scores.ravel()[ids[rest]], kind="stable")]
        order = np.concatenate([np.array(chosen, dtype=np.int64), rest])
        answer: np.ndarray = ids[order[: image.limit]]
        return answer


def features_at(
    maps: tuple[np.ndarray, ...], ids: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Return bilinear features of native pixels.

    The paper scales the whole vector of a pixel to length one; here the part of each map is scaled,
    so all maps count alike, however large their values are.

    Args:
        maps: float32 (c, h, w) each.
        ids: int (n,), y * width + x.
        height: of the image, in native pixels.
        width: of the image, in native pixels.

    Returns:
        float32 (n, D), with D the sum of the maps' channels.
    """
    y, x = np.divmod(ids, width)
    parts = []
    for values_chw in maps:
        rows = _corners(y, height, values_chw.shape[1])
        columns = _corners(x, width, values_chw.shape[2])
        values = np.zeros((len(values_chw), len(ids)), dtype=np.float32)
        for row, row_share in rows:
            for column, column_share in columns:
                values = values + values_chw[:, row, column] * (row_share * column_share)
        vectors = np.asarray(values, dtype=np.float32).T
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        parts.append(vectors / np.maximum(lengths, np.float32(1e-12)))
    return np.concatenate(parts, axis=1)


def _corners(numbers: np.ndarray, size: int, cells: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two cells nearest to each pixel's centre along an axis, with their weights."""
    position = ((numbers + 0.5) * cells / size - 0.5).clip(0, cells - 1)
    low = position.astype(np.int64)
    share = (position - low).astype(np.float32)
    return [(low, 1 - share), (np.minimum(low + 1, cells - 1), share)]


def kernel_of(features: np.ndarray) -> np.ndarray:
    """Return the kernel exp(-(d / width)^2) between rows, float32 (n, n).

    Args:
        features: float32 (n, D), n at least 2.
    """
    norms = np.einsum("nd,nd->n", features, features)
    squared = np.maximum(norms[:, None] + norms[None] - 2 * (features @ features.T), 0)
    np.fill_diagonal(squared, 0)
    median = float(np.sqrt(np.median(squared[np.triu_indices(len(squared), 1)]))) or 1.0
    answer: np.ndarray = np.exp(squared * np.float32(-1 / (WIDTH_FACTOR * median) ** 2)).astype(
        np.float32
    )
    return answer

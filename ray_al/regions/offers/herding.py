"""Regions that stand for the whole image: MaxHerding within it, the first stage of Kim et al., NeurIPS 2025 (arXiv 2510.22229).

The paper herds among 10,000 random pixels of an image, on features of a diffusion model, and keeps
50. Here the features are the backbone's, and fewer pixels are drawn by default: time grows with
the square of their number. What an image offers then does not depend on the model that is trained,
but for what was taken before.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ray_al.core.coverage import greedy_cover
from ray_al.core.variants import Offer, ScoredImage
from ray_al.regions.offers.apart import choose_in_order, free_pixels

WIDTH_FACTOR = 2.0
"""The kernel's width in median distances between two pixels, as the public code of the paper has it."""


class HerdingOffer(Offer):
    """The pixels that cover the image's features best, one after another, under exp(-(d / width)^2)."""

    kind: Literal["herding"] = "herding"
    points: Annotated[int, Field(ge=2, le=20_000)] = 500
    """Number of pixels of the image that are drawn, both as candidates and as what is to be
    covered.
    """

    @property
    def reads_features(self) -> bool:
        """As `Offer.reads_features`."""
        return True

    def choose(self, image: ScoredImage) -> np.ndarray:
        """As `Offer.choose`."""
        height, width = image.scores.shape
        free = free_pixels(height, width, radius=image.radius, taken=image.taken)
        drawn = image.rng.permutation(np.flatnonzero(free))
        ids = np.sort(
            choose_in_order(drawn, free, n=max(self.points, image.limit), radius=image.radius)
        )
        if len(ids) < 2:
            return ids[: image.limit]
        values = kernel_of(features_at(image.features, ids, height, width))
        chosen = greedy_cover(
            values, np.zeros(len(ids), dtype=np.float32), min(image.limit, len(ids))
        )
        rest = np.setdiff1d(np.arange(len(ids)), chosen)
        rest = rest[np.argsort(-image.scores.ravel()[ids[rest]], kind="stable")]
        order = np.concatenate([np.array(chosen, dtype=np.int64), rest])
        answer: np.ndarray = ids[order[: image.limit]]
        return answer


def features_at(
    maps: tuple[np.ndarray, ...], ids: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Bilinear features of native pixels, float32 (n, D).

    The paper makes the whole vector of a pixel one long; here each map's part is, so that all maps
    count alike, however large their values.

    Args:
        maps: float32 (c, h, w) each.
        ids: int (n,), y * width + x.
    """
    y, x = np.divmod(ids, width)
    parts = []
    for one in maps:
        rows, columns = _corners(y, height, one.shape[1]), _corners(x, width, one.shape[2])
        values = sum(
            one[:, row, column] * (row_share * column_share)
            for row, row_share in rows
            for column, column_share in columns
        )
        vectors = np.asarray(values, dtype=np.float32).T
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        parts.append(vectors / np.maximum(lengths, np.float32(1e-12)))
    return np.concatenate(parts, axis=1)


def _corners(numbers: np.ndarray, size: int, cells: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two cells nearest to pixel centres along an axis, and the share of each."""
    position = ((numbers + 0.5) * cells / size - 0.5).clip(0, cells - 1)
    low = position.astype(np.int64)
    share = (position - low).astype(np.float32)
    return [(low, 1 - share), (np.minimum(low + 1, cells - 1), share)]


def kernel_of(features: np.ndarray) -> np.ndarray:
    """exp(-(d / width)^2) between rows, float32 (n, n); n at least 2."""
    norms = np.einsum("nd,nd->n", features, features)
    squared = np.maximum(norms[:, None] + norms[None] - 2 * (features @ features.T), 0)
    np.fill_diagonal(squared, 0)
    median = float(np.sqrt(np.median(squared[np.triu_indices(len(squared), 1)]))) or 1.0
    answer: np.ndarray = np.exp(squared * np.float32(-1 / (WIDTH_FACTOR * median) ** 2)).astype(
        np.float32
    )
    return answer

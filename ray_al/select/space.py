"""Compute squared distances by matrix products in blocks, for all rules that compare features."""

from dataclasses import dataclass

import numpy as np

BLOCK = 4096
"""Rows per block, small enough for its products to stay in the cache."""
MEDIAN_ROWS = 1001
"""Largest number of rows of which a median is taken."""
ROUNDING = 4e-6
"""Fraction of |x|^2 below which a squared distance is float32 rounding of 0."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpace:
    """N vectors, each the outer product of its factors, which is never formed.

    <x, y> is the product of the inner products of the factors, and |x - y|^2 = |x|^2 + |y|^2 - 2
    <x, y>. With one factor these are plain vectors.

    Attributes:
        factors: float32 (N, D_f) each.
        norms: float32 (N,), |x|^2.
    """

    factors: tuple[np.ndarray, ...]
    norms: np.ndarray

    @staticmethod
    def of(*factors: np.ndarray) -> "FeatureSpace":
        """Build the space of vectors with these factors, (N, D_f) each."""
        arrays = tuple(np.ascontiguousarray(factor, dtype=np.float32) for factor in factors)
        norms = np.prod([np.einsum("nd,nd->n", array, array) for array in arrays], axis=0)
        return FeatureSpace(factors=arrays, norms=norms.astype(np.float32))

    def __len__(self) -> int:
        return len(self.norms)

    def take(self, rows: np.ndarray) -> "FeatureSpace":
        """Return the space of some of its vectors."""
        return FeatureSpace(
            factors=tuple(factor[rows] for factor in self.factors), norms=self.norms[rows]
        )

    def squared(self, rows: slice | np.ndarray, picks: np.ndarray) -> np.ndarray:
        """Return squared distances, float32 (rows, picks), at least 0."""
        values: np.ndarray = self.factors[0][rows] @ self.factors[0][picks].T
        for factor in self.factors[1:]:
            values *= factor[rows] @ factor[picks].T
        values *= -2
        values += self.norms[picks]
        values += self.norms[rows][:, None]
        np.maximum(values, 0, out=values)
        return values

    def nearest(self, rows: slice | np.ndarray, picks: np.ndarray) -> np.ndarray:
        """Return the squared distance to the nearest of `picks`, float32 (rows,).

        It is 0 if it is no more than rounding.
        """
        values: np.ndarray = self.squared(rows, picks).min(axis=1)
        values[values <= ROUNDING * self.norms[rows]] = 0
        return values

    def bring_closer(self, nearest: np.ndarray, picks: np.ndarray) -> None:
        """Lower `nearest`, float32 (at most N,), in place to the squared distances to `picks`."""
        for start in range(0, len(nearest), BLOCK):
            rows = slice(start, min(start + BLOCK, len(nearest)))
            for first in range(0, len(picks), BLOCK):
                np.minimum(
                    nearest[rows],
                    self.nearest(rows, picks[first : first + BLOCK]),
                    out=nearest[rows],
                )


def origin_of(features: np.ndarray) -> np.ndarray:
    """Return the lower median of each dimension over evenly spaced rows, float32 (D,).

    Unlike the mean, it does not move with a single distant row.
    """
    rows = features[
        np.linspace(0, len(features) - 1, min(len(features), MEDIAN_ROWS)).astype(np.int64)
    ]
    origin: np.ndarray = np.sort(rows, axis=0)[(len(rows) - 1) // 2].astype(np.float32)
    return origin


def centred(features: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return all arrays minus `origin_of` the first, float32.

    Distances stay the same but keep the digits that a large common offset would cost. Differences
    of whole numbers stay whole, so equal distances stay equal.
    """
    origin = origin_of(features)
    return tuple(array.astype(np.float32) - origin for array in (features, *others))

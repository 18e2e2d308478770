"""Cluster by Lloyd's k-means with a k-means++ start, for all rules that cluster.

Lloyd, 1982; Arthur and Vassilvitskii, 2007.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array

from ray_al.select.space import FeatureSpace, centred, origin_of

PROPOSALS = 32
"""Draws tried at a time."""
STALE_PICKS = 64
"""Picks after which every distance is brought up to date."""
BLOCK = 2048


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """K different clusters; K is at most the number of distinct rows.

    Attributes:
        centroids: float32 (K, D).
        assignments: int64 (N,), the number of the nearest centroid, ties to the lower number. A
            cluster may be empty after the last pass.
    """

    centroids: np.ndarray
    assignments: np.ndarray


def kmeans(
    features: np.ndarray,
    *,
    num_clusters: int,
    rng: np.random.Generator,
    weights: np.ndarray | None = None,
    iterations: int = 10,
) -> Clusters:
    """Cluster the rows of `features`, float32 (N, D), N at least 1.

    Args:
        weights: (N,), at least 0: how much a row pulls its centroid and how likely it starts one.
            If all are 0, all count as 1.
        iterations: largest number of passes. For 1,000 clusters of 100,000 rows, the start matters
            more than the tenth pass.
    """
    mass = (
        np.ones(len(features))
        if weights is None or not np.any(weights)
        else weights.astype(np.float64)
    )
    origin = origin_of(features)
    points = features.astype(np.float32) - origin
    centroids = points[
        kmeans_plus_plus(FeatureSpace.of(points), k=num_clusters, rng=rng, weights=mass)
    ]
    assignments, squared = _assign(points, centroids)
    for _ in range(iterations):
        centroids = _update(points, assignments, squared, mass, centroids)
        before = assignments
        assignments, squared = _assign(points, centroids)
        if np.array_equal(assignments, before):
            break
    return Clusters(centroids=centroids + origin, assignments=assignments)


def kmeans_plus_plus(
    space: FeatureSpace,
    *,
    k: int,
    rng: np.random.Generator,
    weights: np.ndarray,
    first: int | None = None,
) -> np.ndarray:
    """Draw rows in proportion to weight x squared distance to the nearest row drawn so far.

    The draws are exact, although distances are updated only now and then: an old distance is never
    below the true one, so a row drawn by its old distance is kept with probability true / old.

    Args:
        first: the first row; default: drawn in proportion to its weight.

    Returns:
        int64 (at most k,) in order; fewer if no row with weight is left away from the rows drawn. A
        longer answer begins with a shorter one.
    """
    nearest = np.full(len(space), np.inf, dtype=np.float32)
    start = _positions(np.cumsum(weights), rng.random(1))[0] if first is None else first
    chosen = [int(start)]
    fresh = list(chosen)
    while len(chosen) < min(k, len(space)):
        space.bring_closer(nearest, np.array(fresh))
        nearest[fresh] = 0
        mass = np.cumsum(weights * nearest)
        if mass[-1] <= 0:
            break
        fresh = _draw(space, nearest, mass, min(STALE_PICKS, k - len(chosen)), rng)
        chosen += fresh
    return np.array(chosen[:k], dtype=np.int64)


def _draw(
    space: FeatureSpace, nearest: np.ndarray, mass: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """Draw at most `count` rows; fewer once a whole set of proposals is refused."""
    picks: list[int] = []
    while len(picks) < count:
        where, keep = rng.random((2, PROPOSALS))
        rows = _positions(mass, where)
        true = nearest[rows]
        if picks:
            true = np.minimum(true, space.nearest(rows, np.array(picks)))
            true[np.isin(rows, picks)] = 0
        accepted = np.flatnonzero(keep * nearest[rows] < true)
        if len(accepted) == 0:
            break
        picks.append(int(rows[accepted[0]]))
    return picks


def _positions(mass: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the rows at the fractions `where` of the running total `mass`.

    Rows without mass are never hit.
    """
    rows: np.ndarray = np.searchsorted(mass, where * mass[-1], side="right").clip(max=len(mass) - 1)
    return rows


def _assign(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centroid, int64 (N,), and the squared distance to it, float32 (N,)."""
    assignments, squared = (
        np.empty(len(points), dtype=np.int64),
        np.empty(len(points), dtype=np.float32),
    )
    half = np.einsum("kd,kd->k", centroids, centroids) / 2
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        closeness = block @ centroids.T
        closeness -= half
        best = closeness.argmax(axis=1)
        assignments[start : start + BLOCK] = best
        squared[start : start + BLOCK] = (
            np.einsum("nd,nd->n", block, block) - 2 * closeness[np.arange(len(block)), best]
        )
    return assignments, squared.clip(0)


def _update(
    points: np.ndarray,
    assignments: np.ndarray,
    squared: np.ndarray,
    mass: np.ndarray,
    centroids: np.ndarray,
) -> np.ndarray:
    """Return the weighted means of the clusters.

    Clusters without weight move to the rows with the largest weighted distances, one row each.
    """
    totals = np.bincount(assignments, weights=mass, minlength=len(centroids))
    sums = (
        csc_array(
            (mass.astype(np.float32), assignments, np.arange(len(points) + 1)),
            shape=(len(centroids), len(points)),
        )
        @ points
    )
    is_full = totals > 0
    means = centroids.copy()
    means[is_full] = sums[is_full] / totals[is_full, None]
    cost = mass * squared
    empty = np.flatnonzero(~is_full)
    worst = np.argsort(-cost, kind="stable")[: len(empty)]
    worst = worst[cost[worst] > 0]
    means[empty[: len(worst)]] = points[worst]
    return means


def nearest_rows(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the nearest row of `points` to each centroid, int64 (K,), K at most N.

    Each row is returned once, for the first centroid that takes it.
    """
    points, centroids = centred(points, centroids)
    half = np.einsum("nd,nd->n", points, points) / 2
    best, value = np.zeros(len(centroids), dtype=np.int64), np.full(len(centroids), -np.inf)
    for start in range(0, len(points), BLOCK):
        closeness = points[start : start + BLOCK] @ centroids.T - half[start : start + BLOCK, None]
        row = closeness.argmax(axis=0)
        here = closeness[row, np.arange(len(centroids))]
        is_better = here > value
        best[is_better], value[is_better] = row[is_better] + start, here[is_better]
    is_taken = np.zeros(len(points), dtype=bool)
    for cluster in range(len(centroids)):
        if is_taken[best[cluster]]:
            best[cluster] = np.where(is_taken, -np.inf, points @ centroids[cluster] - half).argmax()
        is_taken[best[cluster]] = True
    return best

from collections import Counter
from importlib import import_module
from itertools import permutations

import numpy as np
import pytest

from ray_al.select.kmeans import kmeans, kmeans_plus_plus, nearest_rows
from ray_al.select.space import FeatureSpace

module = import_module("ray_al.select.kmeans")


def slow_lloyd(points, centroids, weights, iterations):
    points, centroids = points.astype(np.float64), centroids.astype(np.float64)
    for i in range(iterations + 1):
        distances = ((points[:, None] - centroids[None]) ** 2).sum(axis=2)
        assignments = distances.argmin(axis=1)
        if i < iterations:
            for cluster in range(len(centroids)):
                rows = assignments == cluster
                if weights[rows].sum() > 0:
                    centroids[cluster] = (weights[rows, None] * points[rows]).sum(axis=0) / weights[
                        rows
                    ].sum()
    return assignments, centroids


@pytest.mark.parametrize("weighted", [False, True])
def test_lloyd_against_loops(weighted):
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(200, 5)) + 3 * rng.integers(0, 3, (200, 1)) + 100).astype(np.float32)
    weights = rng.random(200) if weighted else np.ones(200)
    start = kmeans_plus_plus(
        FeatureSpace.of(points - points[0]), k=6, rng=np.random.default_rng(4), weights=weights
    )
    found = kmeans(
        points,
        num_clusters=6,
        rng=np.random.default_rng(4),
        weights=weights if weighted else None,
        iterations=4,
    )
    assignments, centroids = slow_lloyd(points, points[start], weights, 4)
    assert np.array_equal(found.assignments, assignments)
    np.testing.assert_allclose(found.centroids, centroids, rtol=1e-4)


def test_clear_groups_are_found():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 120)
    points = (100 * truth[:, None] + rng.normal(size=(120, 3))).astype(np.float32)
    assignments = kmeans(points, num_clusters=4, rng=rng).assignments
    assert len({(a, b) for a, b in zip(truth, assignments, strict=True)}) == 4


def test_an_empty_cluster_goes_to_the_worst_served_row():
    points = np.array([[0, 0], [1, 0], [0, 1], [5, 5], [9, 9]], dtype=np.float32)
    centroids = np.array([[0, 0], [50, 50], [60, 60]], dtype=np.float32)
    assignments, squared = module._assign(points, centroids)
    assert assignments.tolist() == [0] * 5
    assert module._update(points, assignments, squared, np.ones(5), centroids)[1:].tolist() == [
        [9, 9],
        [5, 5],
    ]
    light = np.array([1, 1, 1, 1, 0.01])
    assert module._update(points, assignments, squared, light, centroids)[1:].tolist() == [
        [5, 5],
        [9, 9],
    ]


def test_no_cluster_twice():
    points = np.repeat(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32), 10, axis=0)
    found = kmeans(points, num_clusters=7, rng=np.random.default_rng(0))
    assert sorted(found.centroids.tolist()) == [[1, 2], [3, 4]]
    assert (
        len(
            kmeans(
                np.ones((9, 3), dtype=np.float32), num_clusters=4, rng=np.random.default_rng(0)
            ).centroids
        )
        == 1
    )
    assert kmeans(
        points, num_clusters=2, rng=np.random.default_rng(0), weights=np.zeros(20)
    ).assignments[[0, 10]].tolist() != [0, 0]


@pytest.mark.parametrize("stale", [1, 64])
def test_draws_follow_squared_distances(monkeypatch, stale):
    """Exact joint probability of the second and third row, with old distances and without."""
    monkeypatch.setattr(module, "STALE_PICKS", stale)
    points = np.array([[0.0], [1.0], [3.0], [3.5], [7.0]], dtype=np.float32)
    weights = np.array([1.0, 2.0, 1.0, 0.5, 1.0])
    space = FeatureSpace.of(points)
    rng = np.random.default_rng(0)
    counts = Counter(
        tuple(kmeans_plus_plus(space, k=3, rng=rng, weights=weights, first=0).tolist())
        for _ in range(3000)
    )

    def share(chosen):
        squared = weights * ((points - points[list(chosen)].T) ** 2).min(axis=1)
        return squared / squared.sum()

    for second, third in permutations(range(1, 5), 2):
        expected = share([0])[second] * share([0, second])[third]
        assert abs(counts[0, second, third] / 3000 - expected) < 0.03


def test_weight_zero_is_never_drawn_and_a_longer_answer_begins_with_a_shorter():
    rng = np.random.default_rng(2)
    points, weights = (
        rng.normal(size=(50, 3)).astype(np.float32),
        (np.arange(50) % 2).astype(np.float64),
    )
    long = kmeans_plus_plus(
        FeatureSpace.of(points), k=25, rng=np.random.default_rng(1), weights=weights
    )
    assert sorted(long) == list(range(1, 50, 2))
    for k in (1, 2, 7):
        assert (
            kmeans_plus_plus(
                FeatureSpace.of(points), k=k, rng=np.random.default_rng(1), weights=weights
            ).tolist()
            == long[:k].tolist()
        )


def test_each_centroid_has_its_own_row():
    points = np.array([[0.0], [1.0], [10.0], [11.0]], dtype=np.float32)
    assert nearest_rows(
        points, np.array([[0.1], [0.2], [10.9], [0.3]], dtype=np.float32)
    ).tolist() == [0, 1, 3, 2]


def test_distances_of_outer_products_against_the_products():
    rng = np.random.default_rng(3)
    errors, features = rng.normal(size=(12, 4)), rng.normal(size=(12, 6))
    outer = np.einsum("nc,nd->ncd", errors, features).reshape(12, -1)
    expected = ((outer[:, None] - outer[None]) ** 2).sum(axis=2)
    space = FeatureSpace.of(errors, features)
    np.testing.assert_allclose(space.squared(slice(None), np.arange(12)), expected, atol=1e-4)
    np.testing.assert_allclose(space.norms, (outer**2).sum(axis=1), rtol=1e-5)
    assert space.nearest(np.arange(12), np.arange(12)).tolist() == [0.0] * 12

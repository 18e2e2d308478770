"""Nearest to the centres of clusters, on comparable features; against slow references."""

import numpy as np
import pytest
from helpers.candidates import make, rng

from ray_al.select.centroids import CentroidsRule, centroids
from ray_al.select.components import balanced, principal
from ray_al.select.kcenter import KCenterRule
from ray_al.select.kmeans import kmeans


def slow_centroids(candidates, k, factor, components):
    keys = candidates.keys
    order = sorted(range(len(keys)), key=lambda row: (-keys[row], row))
    among = sorted(order if factor is None else order[: int(np.ceil(factor * k))])
    rows = candidates.features[among].astype(np.float64)
    rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9) / np.sqrt(rows.shape[1])
    if components:
        rows = rows @ np.linalg.svd(rows, full_matrices=False)[2][:components].T
    clusters = kmeans(rows.astype(np.float32), num_clusters=k, rng=rng())
    chosen = []
    for cluster, centre in enumerate(clusters.centroids):
        members = np.flatnonzero(clusters.assignments == cluster)
        if len(members):
            apart = ((rows[members] - centre) ** 2).sum(1)
            near = [
                among[member]
                for member, one in zip(members, apart, strict=True)
                if one <= 1.001 * apart.min() + 1e-6
            ]
            chosen.append(min(near, key=lambda row: (-keys[row], row)))
    chosen = sorted(chosen, key=lambda row: (-keys[row], row))
    return chosen + [row for row in order if row not in chosen][: k - len(chosen)]


@pytest.mark.parametrize("components", [0, 2, 5, 32])
@pytest.mark.parametrize("factor", [None, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("k", [1, 7, 40])
def test_the_choice_is_that_of_the_slow_reference(k, factor, components):
    candidates = make(num=200, seed=k)
    found = centroids(candidates, k=k, rng=rng(), factor=factor, components=components)
    assert found.tolist() == slow_centroids(candidates, k, factor, components)


def test_only_the_highest_keys_are_looked_at():
    candidates = make(num=100)
    best = set(np.argsort(-candidates.keys)[:20].tolist())
    assert set(centroids(candidates, k=10, rng=rng(), factor=2.0).tolist()) <= best
    assert not set(centroids(candidates, k=10, rng=rng(), factor=None).tolist()) <= best


def test_clusters_that_are_missing_are_made_up_for_by_key():
    features = np.repeat([[0.0, 0], [9.0, 1]], 30, axis=0)
    candidates = make(num=60, features=features)
    found = centroids(candidates, k=6, rng=rng(), factor=None)
    order = np.argsort(-candidates.keys).tolist()
    firsts = sorted(
        [int(candidates.keys[:30].argmax()), 30 + int(candidates.keys[30:].argmax())],
        key=lambda row: -candidates.keys[row],
    )
    assert (
        found.tolist() == firsts + [row for row in order if row not in firsts][:4]
    )  # of equals the highest key


def test_every_cluster_of_distinct_groups_gives_its_middle():
    centres = 100.0 * np.eye(5)
    offsets = np.array(
        [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, -1, 0, 0, 0]]
    )
    features = (centres[:, None] + offsets).reshape(-1, 5)
    candidates = make(num=25, features=features)
    assert sorted(centroids(candidates, k=5, rng=rng(), factor=None, components=0).tolist()) == [
        0,
        5,
        10,
        15,
        20,
    ]


def test_balanced_features_weigh_alike():
    """... each dimension, and each group whatever the number of its dimensions."""
    features = (rng().normal(size=(500, 12)) * np.arange(1, 13) + 1000).astype(np.float32)
    features[:, 3] = 7
    found = balanced(features, (2, 10))
    expected = (features.astype(np.float64) - features.mean(0, dtype=np.float64)) / np.where(
        np.arange(12) == 3, 1, features.std(0, dtype=np.float64)
    )
    np.testing.assert_allclose(found, expected / np.sqrt([2] * 2 + [10] * 10), atol=1e-3)
    assert (found[:, 3] == 0).all()
    assert (found[:, :2] ** 2).sum(1).mean() == pytest.approx(1, abs=1e-3)
    assert (found[:, 2:] ** 2).sum(1).mean() == pytest.approx(
        0.9, abs=1e-3
    )  # a constant one adds nothing
    np.testing.assert_allclose(balanced(found, (2, 10)), found, atol=1e-5)
    assert balanced(features[:0]).shape == (0, 12)
    assert (balanced(features[:1]) == 0).all()


def test_components_are_those_of_the_largest_variance():
    features = balanced(rng(1).normal(size=(300, 9)) @ rng(2).normal(size=(9, 9)))
    found = principal(features, 4)
    _, values, axes = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(features @ axes[:4].T), atol=1e-4)
    np.testing.assert_allclose((found.astype(np.float64) ** 2).sum(0), values[:4] ** 2, rtol=1e-4)
    assert principal(features, 0) is principal(features, 9) is principal(features, 32) is features


def test_how_many_candidates_a_rule_looks_at():
    assert CentroidsRule().num_candidates(18) == 180
    assert CentroidsRule(factor=0.3 / 0.1).num_candidates(10) == 30
    assert CentroidsRule(candidates=50).num_candidates(18) == 50
    assert (
        CentroidsRule(factor=None).num_candidates(18) == KCenterRule().num_candidates(18) == 100_000
    )

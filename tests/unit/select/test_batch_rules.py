from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.candidates import make, rng

from ray_al.core.errors import RayALError
from ray_al.core.families.batch import BATCH_RULES, Moment
from ray_al.core.types import SCORE_SCHEMA
from ray_al.select.badge import badge
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.class_split import class_split
from ray_al.select.clue import clue
from ray_al.select.cluster_best import cluster_best, standardised
from ray_al.select.kcenter import kcenter
from ray_al.select.kmeans import kmeans
from ray_al.select.maxherding import maxherding
from ray_al.select.redal import redal
from ray_al.select.rules import CandidateRule
from ray_al.select.typiclust import NEIGHBOUR_POOL, mean_distances, typiclust

VARIANTS: dict[str, Any] = {kind: BATCH_RULES.parse({"kind": kind}) for kind in BATCH_RULES.kinds}
RULES = {kind: rule.choose for kind, rule in VARIANTS.items() if rule.reads_features}
GREEDY = ["kcenter", "badge", "maxherding", "redal", "two_stage"]
kcenter_module = import_module("ray_al.select.kcenter")


def distances(a, b):
    return np.sqrt(((a.astype(np.float64)[:, None] - b.astype(np.float64)[None]) ** 2).sum(axis=2))


EDGES = {
    "ordinary": make(),
    "labelled": make(labelled=9),
    "few": make(num=3),
    "one": make(num=1),
    "one and labelled": make(num=1, labelled=4),
    "none": make(num=0),
    "all alike": make(features=np.full((60, 5), 1000.1)),
    "all zero": make(features=np.zeros((60, 5))),
    "two kinds": make(features=np.repeat([[1e3, 0, 0, 0, 0], [0, 1e3, 0, 0, 0]], 30, axis=0)),
    "one-hot": make(probabilities=np.eye(4)[np.arange(60) % 4]),
    "uniform": make(probabilities=np.full((60, 4), 0.25)),
    "one class": make(classes=1),
    "key -inf": make(keys=np.where(np.arange(60) % 2, -np.inf, -1.0)),
}


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_fills_the_query(name, case):
    candidates = EDGES[case]
    for k in (0, 1, 5, 59, 60, 100):
        with np.errstate(invalid="raise", divide="raise"):
            positions = RULES[name](candidates, k=k, rng=rng())
        assert positions.dtype == np.int64
        assert len(positions) == len(set(positions.tolist())) == min(k, len(candidates))
        assert np.array_equal(positions, RULES[name](candidates, k=k, rng=rng()))
        assert all(0 <= position < len(candidates) for position in positions)


@pytest.mark.parametrize("case", ["ordinary", "labelled", "two kinds", "one-hot"])
@pytest.mark.parametrize("name", GREEDY)
def test_a_longer_answer_begins_with_a_shorter(name, case):
    long = RULES[name](EDGES[case], k=40, rng=rng())
    for k in (1, 2, 17):
        assert RULES[name](EDGES[case], k=k, rng=rng()).tolist() == long[:k].tolist()


@pytest.mark.parametrize("name", RULES)
def test_the_order_of_rows_does_not_matter(name):
    ordered = make(labelled=5)
    order = rng(3).permutation(60)
    shuffled = Candidates.of(
        table=ordered.table.take(pa.array(order)),
        keys=ordered.keys[order],
        features=ordered.features[order],
        probabilities=ordered.probabilities[order],
        labelled=ordered.labelled,
    )
    queries = [
        VARIANTS[name].choose_rows(candidates, k=12, moment=Moment(seed=1, cycle=2))
        for candidates in (ordered, shuffled)
    ]
    assert queries[0].equals(queries[1])
    assert queries[0].column_names == [*SCORE_SCHEMA.names, "key", "reason"] and set(
        queries[0]["reason"].to_pylist()
    ) == {name}


def test_filling_takes_the_highest_keys_left():
    assert fill_by_key([2], np.array([0.5, 0.9, 1.0, 0.9, -np.inf]), 4).tolist() == [2, 1, 3, 0]
    assert fill_by_key([2, 0], np.array([0.5, 0.9, 1.0]), 1).tolist() == [2]


def slow_kcenter(candidates, k):
    near = distances(candidates.features, candidates.labelled).min(axis=1, initial=np.inf)
    chosen = []
    for _ in range(k):
        pick = int(candidates.keys.argmax()) if np.isinf(near).all() else int(near.argmax())
        near = np.minimum(near, distances(candidates.features, candidates.features[[pick]])[:, 0])
        chosen.append(pick)
    return chosen, near.max()


@pytest.mark.parametrize("pool", [3, 16, 1024])
@pytest.mark.parametrize("labelled", [0, 7])
def test_kcenter_against_loops(monkeypatch, pool, labelled):
    monkeypatch.setattr(kcenter_module, "POOL", pool)
    candidates = make(num=150, labelled=labelled, seed=pool)
    positions, radius = kcenter_module.kcenter(candidates, k=20, rng=rng(), tolerance=0)
    expected, farthest = slow_kcenter(candidates, 20)
    assert positions.tolist() == expected
    assert radius == pytest.approx(farthest, rel=1e-4)


def test_kcenter_ties_go_to_the_lower_position(monkeypatch):
    monkeypatch.setattr(kcenter_module, "POOL", 4)
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(6)), axis=-1).reshape(-1, 2)
    candidates = make(num=30, dims=2, features=grid + 3)
    assert (
        kcenter(candidates, k=25, rng=rng(), tolerance=0)[0].tolist()
        == slow_kcenter(candidates, 25)[0]
    )


def test_kcenter_picks_are_near_the_farthest(monkeypatch):
    monkeypatch.setattr(kcenter_module, "POOL", 32)
    candidates = make(num=1500, dims=6)
    positions, radius = kcenter_module.kcenter(candidates, k=60, rng=rng())
    between = distances(candidates.features, candidates.features[positions])
    for i in range(1, 60):
        near = between[:, :i].min(axis=1)
        assert near[positions[i]] >= 0.98 * near.max() - 1e-5
    assert radius <= 1.02 * slow_kcenter(candidates, 60)[1]
    assert kcenter_module.kcenter(make(num=4), k=0, rng=rng())[1] == np.inf


def test_badge_starts_with_the_largest_gradient_and_skips_copies():
    candidates = make(num=40, seed=2)
    predicted = candidates.probabilities.argmax(axis=1)
    errors = candidates.probabilities.astype(np.float64) - np.eye(4)[predicted]
    norms = np.linalg.norm(errors, axis=1) * np.linalg.norm(
        candidates.features.astype(np.float64), axis=1
    )
    assert all(badge(candidates, k=3, rng=rng(seed))[0] == norms.argmax() for seed in range(5))
    twice = make(
        num=40,
        features=np.repeat(candidates.features[:20], 2, axis=0),
        probabilities=np.repeat(candidates.probabilities[:20], 2, axis=0),
    )
    assert sorted(badge(twice, k=20, rng=rng()) // 2) == list(range(20))


def test_badge_draws_by_squared_distance():
    candidates = make(num=5, dims=2, classes=3, seed=1)
    errors = candidates.probabilities.astype(np.float64)
    errors[np.arange(5), errors.argmax(axis=1)] -= 1
    gradients = np.einsum("nc,nd->ncd", errors, candidates.features.astype(np.float64)).reshape(
        5, -1
    )
    first = int((gradients**2).sum(axis=1).argmax())
    expected = ((gradients - gradients[first]) ** 2).sum(axis=1)
    random = rng()
    counts = np.bincount([badge(candidates, k=2, rng=random)[1] for _ in range(2000)], minlength=5)
    assert np.abs(counts / 2000 - expected / expected.sum()).max() < 0.04


def test_clue_against_loops():
    candidates = make(num=80, seed=3)
    p = candidates.probabilities.astype(np.float64)
    entropy = np.array([-sum(value * np.log(value) for value in row if value > 0) for row in p])
    found = kmeans(candidates.features, num_clusters=9, rng=rng(4), weights=entropy)
    mass = [entropy[found.assignments == cluster].sum() for cluster in range(9)]
    expected = []
    for cluster in sorted(range(9), key=lambda cluster: -mass[cluster]):
        order = distances(candidates.features, found.centroids[[cluster]])[:, 0].argsort(
            kind="stable"
        )
        expected.append(next(int(row) for row in order if row not in expected))
    assert clue(candidates, k=9, rng=rng(4)).tolist() == expected


def test_clue_follows_the_entropy():
    features = np.array([[0.0], [1.0], [50.0], [51.0]] * 15)
    sure, unsure = [0.999, 0.001], [0.5, 0.5]
    candidates = make(features=features, probabilities=[unsure, sure, sure, unsure] * 15)
    chosen = clue(candidates, k=2, rng=rng())
    assert sorted(features[chosen, 0]) == [0.0, 51.0]


def test_the_best_of_each_cluster():
    features = np.array([[0.0, 1.0], [9.0, 1.0]] * 30) + 0.01 * rng().normal(size=(60, 2))
    candidates = make(features=features)
    positions = cluster_best(candidates, k=2, rng=rng(2))
    assignments = kmeans(standardised(candidates.features), num_clusters=2, rng=rng(2)).assignments
    best = [
        max(np.flatnonzero(assignments == cluster), key=lambda row: candidates.keys[row])
        for cluster in (0, 1)
    ]
    assert positions.tolist() == sorted(best, key=lambda row: -candidates.keys[row])
    scaled = standardised(np.array([[1, 5, 7], [3, 5, 7.5]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [[-1, 0, -1], [1, 0, 1]])


@pytest.mark.parametrize(("num_points", "labelled"), [(1024, 0), (1024, 6), (25, 0)])
def test_maxherding_against_loops(num_points, labelled):
    candidates = make(num=90, labelled=labelled, seed=5)
    points = (
        np.sort(rng(1).choice(90, num_points, replace=False)) if num_points < 90 else np.arange(90)
    )
    between = distances(candidates.features[points], candidates.features[points])
    sigma = np.median([between[i, j] for i in range(len(points)) for j in range(i)])
    values = np.exp(-((distances(candidates.features, candidates.features[points]) / sigma) ** 2))
    covered = np.exp(
        -((distances(candidates.labelled, candidates.features[points]) / sigma) ** 2)
    ).max(axis=0, initial=0)
    expected = []
    for _ in range(20):
        gains = [
            np.mean(np.maximum(row - covered, 0)) if i not in expected else -1
            for i, row in enumerate(values)
        ]
        expected.append(int(np.argmax(gains)))
        covered = np.maximum(covered, values[expected[-1]])
    assert maxherding(candidates, k=20, rng=rng(1), num_points=num_points).tolist() == expected


def test_lazy_batches_change_nothing(monkeypatch):
    candidates = make(num=400, seed=6)
    chosen = maxherding(candidates, k=60, rng=rng())
    monkeypatch.setattr(import_module("ray_al.core.coverage"), "FIRST_BATCH", 1)
    assert maxherding(candidates, k=60, rng=rng()).tolist() == chosen.tolist()


@pytest.mark.parametrize("low", [0.0, -3.0])
def test_redal_against_loops(low):
    candidates = make(seed=7, keys=low + rng(7).integers(0, 12, 60) / 4)  # ties
    assignments = kmeans(candidates.features, num_clusters=6, rng=rng(1)).assignments
    keys, taken, expected = candidates.keys - min(low, 0), dict.fromkeys(range(6), 0), []
    for _ in range(60):
        worth = {
            row: keys[row] * 0.5 ** taken[assignments[row]]
            for row in range(60)
            if row not in expected
        }
        best = max(worth, key=lambda row: (worth[row], -row))
        taken[assignments[best]] += 1
        expected.append(best)
    assert redal(candidates, k=60, rng=rng(1), num_clusters=6, decay=0.5).tolist() == expected


@pytest.mark.parametrize("labelled", [0, 11])
def test_typiclust_against_loops(labelled):
    candidates = make(num=120, labelled=labelled, seed=8)
    everything = np.concatenate([candidates.features, candidates.labelled])
    assignments = kmeans(everything, num_clusters=12, rng=rng(2)).assignments
    rows = {
        cluster: [row for row in range(120) if assignments[row] == cluster] for cluster in range(12)
    }
    covered = {cluster: int((assignments[120:] == cluster).sum()) for cluster in rows}
    sizes = {cluster: int((assignments == cluster).sum()) for cluster in rows}
    order = sorted(
        rows, key=lambda cluster: (sizes[cluster] <= 5, covered[cluster], -sizes[cluster], cluster)
    )
    for cluster, members in rows.items():
        between = distances(candidates.features[members], candidates.features[members])
        count = min(4, len(members) // 2)
        rows[cluster] = [
            members[i]
            for i in np.argsort(
                [np.sort(line)[1 : count + 1].mean() if count else 0 for line in between],
                kind="stable",
            )
        ]
    expected = [
        rows[cluster][visit]
        for visit in range(3)
        for cluster in order
        if visit < len(rows[cluster])
    ]
    assert (
        typiclust(candidates, k=25, rng=rng(2), max_clusters=12, num_neighbours=4).tolist()
        == expected[:25]
    )


def test_typiclust_prefers_clusters_without_labels():
    features = np.concatenate([np.zeros((30, 5)), np.full((20, 5), 9.0)]) + 0.1 * rng().normal(
        size=(50, 5)
    )
    candidates = make(num=50, features=features)
    assert typiclust(candidates, k=1, rng=rng(), max_clusters=2)[0] < 30
    covered = Candidates(**{**vars(candidates), "labelled": np.zeros((3, 5), dtype=np.float32)})
    assert typiclust(covered, k=1, rng=rng(), max_clusters=2)[0] >= 30


@pytest.mark.parametrize("case", EDGES)
def test_a_share_for_the_classes_fills_the_query(case):
    candidates = EDGES[case]
    scores = candidates.probabilities * np.abs(np.nan_to_num(candidates.keys, neginf=0))[:, None]
    for k in (0, 1, 5, 59, 60, 100):
        positions = class_split(candidates, k=k, class_scores=scores)
        assert positions.dtype == np.int64
        assert len(positions) == len(set(positions.tolist())) == min(k, len(candidates))
        assert all(0 <= position < len(candidates) for position in positions)


@pytest.mark.parametrize("name", ["kcenter", "kmeans"])
def test_one_far_row_does_not_hide_the_others(name):
    """Distances count as 0 relative to their operands: a far first row must not be the origin."""
    features = np.concatenate(
        [np.full((1, 5), 3000.0), 20 * np.eye(5).repeat(12, axis=0)]
    ) + 0.01 * rng().normal(size=(61, 5))
    chosen = RULES[name](make(num=61, features=features), k=6, rng=rng())
    assert {(position - 1) // 12 for position in chosen} == {-1, 0, 1, 2, 3, 4}


def test_a_share_goes_to_the_classes_in_turn():
    scores = np.array(
        [[9, 0, 0], [8, 7, 0], [7, 6, 0], [6, 8, 0], [0, 0, 0], [0, 0, 0]], dtype=np.float64
    )
    candidates = make(num=6, keys=[0, 1, 2, 3, 5, 4])
    assert class_split(candidates, k=5, share=0.6, class_scores=scores).tolist() == [0, 3, 1, 4, 5]
    assert class_split(candidates, k=3, share=0.0, class_scores=scores).tolist() == [4, 5, 3]
    assert class_split(candidates, k=6, share=1.0, class_scores=scores).tolist() == [
        0,
        3,
        1,
        2,
        4,
        5,
    ]  # no class wants 4 or 5


class Wrong(CandidateRule):
    """Gives the positions that it is told."""

    kind: str = "test:Wrong"
    positions: list[int] = []

    def choose(self, candidates, *, k, rng):
        return np.array(self.positions)


@pytest.mark.parametrize("positions", [[2, 2], [0, 60], [-1, 3]])
def test_positions_of_own_rules_are_different_candidates(positions):
    with pytest.raises(RayALError, match="it must give different positions from 0 on"):
        Wrong(positions=positions).choose_rows(make(), k=2, moment=Moment(seed=0, cycle=1))


def test_typical_regions_are_found_with_more_neighbours_than_are_looked_at():
    features = np.random.default_rng(0).normal(size=(NEIGHBOUR_POOL * 2 + 4, 2)).astype(np.float32)
    assert np.isfinite(mean_distances(features, NEIGHBOUR_POOL + 1)).all()

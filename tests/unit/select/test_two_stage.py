"""The second stage of two-stage selection, and the score eDALD, against slow references."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from ray_al.acquisition.edald import entropy_and_disagreement
from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.types import SCORE_SCHEMA
from ray_al.select.candidates import Candidates
from ray_al.select.two_stage import two_stage


def make(num, labelled=0, seed=0):
    random = np.random.default_rng(seed)
    centres = 4 * random.normal(size=(5, 6))
    rows = [
        {"image_index": i, "image_id": f"i{i:03d}", "region": 0, "score": 0.0, "num_pixels": 1}
        for i in range(num)
    ]
    drawn = [
        (centres[random.integers(0, 5, n)] + random.normal(size=(n, 6))).astype(np.float32)
        for n in (num, labelled)
    ]
    return Candidates(
        table=pa.Table.from_pylist(rows, schema=SCORE_SCHEMA),
        keys=random.random(num),
        features=drawn[0],
        probabilities=np.zeros((num, 1), dtype=np.float32),
        labelled=drawn[1],
    )


def slow_herding(features, covering, width, count):
    def kernel(one, other):
        return np.exp(-((np.linalg.norm(one - other) / width) ** 2))

    covered = np.array(
        [max((kernel(row, other) for other in covering), default=0.0) for row in features]
    )
    chosen: list[int] = []
    for _ in range(count):
        gains = [
            np.mean(
                [max(kernel(row, features[one]) - covered[i], 0) for i, row in enumerate(features)]
            )
            if one not in chosen
            else -1.0
            for one in range(len(features))
        ]
        best = int(np.argmax(gains))
        chosen.append(best)
        covered = np.array(
            [max(covered[i], kernel(row, features[best])) for i, row in enumerate(features)]
        )
    return chosen


@pytest.mark.parametrize("labelled", [0, 5])
@pytest.mark.parametrize("block", [100, 16])
def test_against_loops(labelled, block):
    candidates = make(30, labelled)
    found = two_stage(candidates, k=12, rng=np.random.default_rng(4), block=block)
    rng = np.random.default_rng(4)
    rng.choice(30, 30, replace=False)
    features = candidates.features.astype(np.float64)
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    width = 2 * np.median(distances[np.triu_indices(30, 1)])
    order = rng.permutation(30)
    blocks = [np.sort(order)] if block == 100 else [np.sort(order[:15]), np.sort(order[15:])]
    kept: list[int] = []
    parts = [15] if block == 100 else [8, 7]
    for rows, part in zip(blocks, parts, strict=True):
        covering = [*candidates.labelled.astype(np.float64), *features[kept]]
        kept += rows[slow_herding(features[rows], covering, width, part)].tolist()
    assert found.tolist() == sorted(kept, key=lambda one: -candidates.keys[one])[:12]


@pytest.mark.parametrize("keep", [0.1, 0.5, 1.0])
def test_what_is_kept_comes_first_by_key_and_then_the_rest_by_key(keep):
    candidates = make(40)
    all_of_them = two_stage(candidates, k=40, rng=np.random.default_rng(0), keep=keep)
    count = round(40 * keep)
    assert sorted(all_of_them.tolist()) == list(range(40))
    for part in (all_of_them[:count], all_of_them[count:]):
        assert (np.diff(candidates.keys[part]) <= 0).all()
    for k in (0, 1, 7, 25):
        assert (
            two_stage(candidates, k=k, rng=np.random.default_rng(0), keep=keep).tolist()
            == all_of_them[:k].tolist()
        )


def test_edald_is_the_entropy_of_the_plain_pass_and_the_information_of_the_others():
    drawn = torch.Generator().manual_seed(0)
    plain, passes = (
        torch.randn(2, 4, 3, 5, generator=drawn),
        torch.randn(6, 2, 4, 3, 5, generator=drawn),
    )
    views = PredictionStatistics(frozenset({"plain", "mean_p", "mean_entropy"}))
    views.add_plain(plain)
    for one in passes:
        views.add(one)
    found = entropy_and_disagreement(views)
    for image, y, x in ((0, 0, 0), (1, 2, 4), (1, 0, 3)):
        shares = [np.exp(v) / np.exp(v).sum() for v in passes[:, image, :, y, x].double().numpy()]
        own = plain[image, :, y, x].double().numpy()
        own = np.exp(own) / np.exp(own).sum()

        def h(p):
            return -(p * np.log(p)).sum()

        expected = h(own) + h(np.mean(shares, axis=0)) - np.mean([h(p) for p in shares])
        assert found[image, y, x].item() == pytest.approx(expected, abs=1e-5)

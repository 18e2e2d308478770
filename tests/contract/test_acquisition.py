"""Every acquisition function passes one suite, on every region kind."""

import io
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ray_al.core.config import StrategyConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.pool import table_bytes
from ray_al.models import build_model
from ray_al.regions import open_regions
from ray_al.score.functions import ACQUISITIONS, ScoreOptions
from ray_al.score.scorer import Scorer
from ray_al.score.shards import make_tasks, score_shard
from ray_al.score.views import Views

NAMES = get_args(StrategyConfig.model_fields["score"].annotation)
WITH_MODEL = [name for name in NAMES if ACQUISITIONS[name].needs_model]


def configure(root, score, kind="grid", **changes):
    values = {
        "data": {"root": str(root / "data"), "image_size": [32, 48]},
        "regions": {"kind": kind, "rows": 3, "columns": 2},
        "strategy": {"score": score},
        "score": {"batch_size": 3, "precision": "fp32", "workers": 0, "shard_size": 2, **changes},
    }
    return parse_config(values, source="test")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    write_synthetic(str(root / "data"), num_images=5, seed=0)
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(build_model(configure(root, "entropy").model, 6).state_dict(), buffer)
    (root / "model.pt").write_bytes(buffer.getvalue())
    return root


def score_of(name, logits):
    row = ACQUISITIONS[name]
    if row.pixel is not None:
        return row.pixel(logits, ScoreOptions())
    views = Views(row.wants)
    views.add(logits)
    return row.views(views)


@pytest.mark.parametrize("name", WITH_MODEL)
def test_pixels_score_higher_where_the_prediction_is_less_sure(name):
    uniform, sure = torch.zeros(2, 4, 3, 5), torch.zeros(2, 4, 3, 5)
    sure[:, 1] = 1e4
    assert score_of(name, uniform).shape == (2, 3, 5)
    assert torch.isfinite(score_of(name, uniform)).all()
    assert torch.isfinite(score_of(name, sure)).all()
    assert (score_of(name, uniform) > score_of(name, sure)).all()
    assert (score_of(name, sure).abs() < 1e-6).all()


@pytest.mark.parametrize("kind", ["grid", "image"])
@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_score_does_not_depend_on_the_batch(root, name, kind):
    config = configure(root, name, kind)
    scorer = Scorer(config, 6, (root / "model.pt").read_bytes())
    images = list(np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3), np.uint8))
    sizes = [(96, 128), (95, 131), (32, 48), (700, 900), (33, 47)]
    together = scorer.score_images(images, sizes)
    alone = [scorer.score_images([image], [size])[0] for image, size in zip(images, sizes, strict=True)]
    backwards = scorer.score_images(images[::-1], sizes[::-1])[::-1]
    for a, b, c in zip(together, alone, backwards, strict=True):
        assert a.dtype == np.float32
        assert a.shape == (open_regions(config.regions).num_regions(96, 128),)
        assert a.tolist() == b.tolist() == c.tolist()


@pytest.mark.parametrize("name", WITH_MODEL)
def test_close_to_the_reference_precision(root, name):
    images, sizes = list(np.random.default_rng(1).integers(0, 255, (3, 32, 48, 3), np.uint8)), [(96, 128)] * 3
    weights = (root / "model.pt").read_bytes()
    fast = Scorer(configure(root, name), 6, weights).score_images(images, sizes)
    reference = Scorer(configure(root, name, precision="reference"), 6, weights).score_images(images, sizes)
    assert np.abs(np.concatenate(fast) - np.concatenate(reference)).max() < 0.02


def parts(root, config, cycle=3):
    storage = Storage(str(root / f"run-{config.strategy.score}-{config.score.shard_size}-{cycle}"))
    files = sorted((root / "data" / "train").glob("*.png"))
    images = [ImageFile(image_id=f"train/{path.name}", uri=str(path)) for path in files]
    manifest, _ = build_manifest(images, open_regions(config.regions).num_regions)
    storage.replace("manifest.parquet", table_bytes(manifest))
    weights = storage.put("model.pt", (root / "model.pt").read_bytes(), attempt=1)
    remaining = np.ones(30, bool)
    remaining[[0, 7, *range(12, 18)]] = False
    tasks = make_tasks(
        config, manifest, remaining, done=set(), cycle=cycle, seed=0, run_uri=storage.root, weights=weights, output="scores", attempt=1
    )
    results = [score_shard(task, config) for task in tasks]
    again = [score_shard(task, config) for task in make_tasks(config, manifest, remaining, done={0}, cycle=cycle, seed=0, run_uri=storage.root,
                                                               weights=weights, output="scores", attempt=2)]  # fmt: skip
    assert [result.file for result in again] == [result.file for result in results[1:]]
    return {
        (row["image_id"], row["region"]): row["score"]
        for result in results
        for row in pq.read_table(io.BytesIO(storage.read_ref(result.file))).to_pylist()
    }


@pytest.mark.parametrize("name", NAMES)
def test_shards_hold_what_remains_and_do_not_matter(root, name):
    scores = parts(root, configure(root, name, shard_size=2))
    assert len(scores) == 22
    assert not any(image_id == "train/00002.png" for image_id, _ in scores)
    assert scores == parts(root, configure(root, name, shard_size=3))
    assert all(np.isfinite(list(scores.values())))


def test_random_differs_from_cycle_to_cycle(root):
    config = configure(root, "random")
    assert parts(root, config, cycle=3) != parts(root, config, cycle=4)

"""`train.keep: best` keeps the weights with the highest mIoU on the validation images."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ray_al.core.config import TrainConfig, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, MANIFEST_SCHEMA, TrainPlan, TrainResult
from ray_al.datasets import open_dataset
from ray_al.datasets.compose import encode_mask
from ray_al.datasets.images import read_image
from ray_al.datasets.masks import read_mask
from ray_al.driver.training import kept_facts
from ray_al.train.best import BestKeeper
from ray_al.train.length import Length
from ray_al.train.schedule import check_train
from ray_al.train.trainer import LocalTrainer


def parquet(rows, schema):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return buffer.getvalue()


def make_run(root, config):
    """A run directory with a manifest and a label part: the whole masks of three images."""
    dataset, storage = open_dataset(config.data), Storage(root)
    rows, labels = [], []
    for index, file in enumerate(dataset.splits["train"]):
        height, width = read_image(file.uri).shape[:2]
        values = (index, file.image_id, file.uri, file.mask_uri, height, width, 1)
        rows.append(dict(zip(MANIFEST_SCHEMA.names, values, strict=True)))
        mask = encode_mask(np.ascontiguousarray(read_mask(file.mask_uri, dataset.decoder)))
        label = (index, file.image_id, 0, [0, 0, height, width], "dense", mask, None, 1, "test", 0)
        labels.append(dict(zip(LABEL_SCHEMA.names, label, strict=True)))
    storage.replace("manifest.parquet", parquet(rows, MANIFEST_SCHEMA))
    return storage.put("labels/part-0.parquet", parquet(labels[:3], LABEL_SCHEMA), attempt=0)


def train(root, **settings) -> TrainResult:
    config = parse_config(
        {
            "data": {"dataset": "synthetic", "num_images": 4, "image_size": [32, 48]},
            "model": {"name": "lraspp_mobilenet_v3_large"},
            "train": {"steps": 6, "batch_size": 2, "threads": 1, **settings},
        },
        source="test",
    )
    plan = TrainPlan(
        cycle=0,
        attempt=1,
        seed=0,
        label_parts=(make_run(str(root), config),),
        output="checkpoint",
        progress="progress.pt",
    )
    return LocalTrainer(config, str(root)).train(plan)


def test_the_kept_weights_are_the_best_and_the_training_is_the_same(tmp_path):
    last = train(tmp_path / "last", batch_norm={"reestimate_batches": 1})
    best = train(
        tmp_path / "best", batch_norm={"reestimate_batches": 1}, keep="best", evaluate_every=2
    )
    assert (last.kept_step, last.evaluations) == (None, ())
    assert best.losses == last.losses
    assert [step for step, _ in best.evaluations] == [2, 4, 6]
    assert best.evaluations[-1][1] == last.metrics["val"].miou
    mious = [miou for _, miou in best.evaluations]
    assert best.metrics["val"].miou == max(mious)
    assert best.kept_step == best.evaluations[mious.index(max(mious))][0]


class Scripted:
    """Evaluations that are known beforehand."""

    def __init__(self, *mious):
        self.mious = list(mious)
        self.was_training = []

    def __call__(self, model):
        self.was_training.append(model.training)
        return self.mious.pop(0)


def keep(mious, steps=40, every=None):
    """Train a network whose weight is the number of steps; return it and its keeper."""
    model, evaluate = nn.Linear(1, 1), Scripted(*mious)
    length = Length(steps, guess=1.0)
    train = TrainConfig(steps=steps, keep="best", evaluate_every=every)
    keeper = BestKeeper(evaluate, lambda: model.bias.data.fill_(1), train, length)
    model.train()
    model.bias.data.zero_()
    for step in range(1, steps):
        model.weight.data.fill_(step)
        keeper.look(model, step)
        assert model.training
        assert model.bias == 0  # what settles the statistics is undone
    model.weight.data.fill_(steps)
    model.bias.data.fill_(1)
    keeper.finish(model, steps)
    assert not any(evaluate.was_training)
    assert evaluate.mious == []
    return model, keeper


def test_the_first_of_equally_good_weights_is_kept():
    model, keeper = keep([0.1, 0.5, 0.5, 0.2], every=10)
    assert keeper.best.step == 20
    assert (model.weight, model.bias) == (20, 1)
    assert keeper.best.evaluations == [(10, 0.1), (20, 0.5), (30, 0.5), (40, 0.2)]


def test_the_last_weights_may_be_the_best():
    model, keeper = keep([0.1, 0.2, 0.3], every=15)
    assert keeper.best.step == model.weight == 40


def test_ten_evaluations_are_made_unless_a_number_is_set():
    assert len(keep([0.1] * 10)[1].best.evaluations) == 10
    assert len(keep([0.1] * 3, steps=3)[1].best.evaluations) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keep": "best", "policy": "continue"}, "keep=best.*policy=continue.*set policy"),
        ({"keep": "first"}, "train.keep"),
        ({"evaluate_every": 0}, "train.evaluate_every"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        parse_config({"train": settings}, source="test")


def test_passes_over_the_last_states_are_refused():
    strategy = {"acquisition": "bald", "passes": {"kind": "snapshots"}}
    config = parse_config({"train": {"keep": "best"}, "strategy": strategy}, source="test")
    with pytest.raises(ConfigError, match=r"train\.keep: 'best'.*strategy\.passes\.kind=snapshots"):
        check_train(config)


def test_only_a_training_that_chose_is_recorded_as_one():
    values = {
        "cycle": 0,
        "attempt": 1,
        "files": {},
        "metrics": {},
        "num_steps": 4,
        "losses": (),
        "class_pixels": (),
        "train_seconds": 1.0,
        "evaluate_seconds": 1.0,
        "num_images": 1,
    }
    assert kept_facts(TrainResult(**values)) == {}
    result = TrainResult(**values, kept_step=2, evaluations=((2, 0.5), (4, 0.25)))
    assert kept_facts(result) == {"kept_step": 2, "evaluations": [[2, 0.5], [4, 0.25]]}


def test_weights_are_copies():
    model, keeper = keep([0.5, 0.1], steps=2, every=1)
    model.weight.data.fill_(-1)
    assert keeper.best.weights["weight"].equal(torch.ones(1, 1))

"""`train.keep: best` keeps the weights with the highest mIoU on the validation images."""

import pytest
import torch
from helpers.small_training import train
from torch import nn

from ray_al.core.config import TrainConfig, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.types import TrainResult
from ray_al.driver.training import kept_evaluations
from ray_al.train.best import BestKeeper
from ray_al.train.checks import check_train
from ray_al.train.length import Length


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
    assert kept_evaluations(TrainResult(**values)) is None
    result = TrainResult(**values, kept_step=2, evaluations=((2, 0.5), (4, 0.25)))
    assert kept_evaluations(result) == ((2, 0.5), (4, 0.25))


def test_weights_are_copies():
    model, keeper = keep([0.5, 0.1], steps=2, every=1)
    model.weight.data.fill_(-1)
    assert keeper.best.weights["weight"].equal(torch.ones(1, 1))

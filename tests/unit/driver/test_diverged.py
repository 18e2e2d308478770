"""A diverged model is found where losses, weights and outputs arise, whatever scores it."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.diverging import broken

from ray_al.acquisition import ACQUISITIONS
from ray_al.core.config import parse_config
from ray_al.core.errors import DivergedError
from ray_al.core.storage import Storage
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.catalog import open_dataset
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal
from ray_al.ledger.events import Event
from ray_al.scoring.inputs import ImageInputs
from ray_al.scoring.scorer import FeatureScorer, Scorer
from ray_al.train.comm import LocalComm
from ray_al.train.evaluate import Evaluator
from ray_al.train.feed import ImageFeed


def config_of(folder, *, model, score="entropy", **train):
    return parse_config(
        {
            "data": {"root": str(folder / "data"), "num_images": 6, "image_size": [32, 48]},
            "model": {"name": f"helpers.diverging:{model}"},
            "regions": {"rows": 2, "columns": 2},
            "train": {"steps": 2, "batch_size": 2, "threads": 1, **train},
            "strategy": {"acquisition": score, "passes": {"count": 2}},
            "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32", "threads": 1},
            "budget": {"start": 4, "per_cycle": 4, "amount": 12},
            "cluster": {"host": "process"},
        },
        source="test",
    )


def black(scorer):
    return ImageInputs(np.zeros((2, 32, 48, 3), dtype=np.uint8), "imagenet", scorer.form)


@pytest.mark.parametrize("model", ["broken", "overflowing"])
@pytest.mark.parametrize(
    "score", [name for name, function in ACQUISITIONS.items() if function.needs_model]
)
def test_no_function_scores_logits_that_are_not_finite(score, model, tmp_path):
    config = config_of(tmp_path, model=model, score=score)
    with pytest.raises(
        DivergedError, match="cycle 3: the model diverged: its logits are not finite"
    ):
        scorer = Scorer(config, config.strategy, 6, [], cycle=3)
        scorer.maps(black(scorer))


def test_no_features_of_a_diverged_model(tmp_path):
    config = config_of(tmp_path, model="broken")
    strategy = config.strategy.model_copy(update={"feature_layer": "body"})
    with pytest.raises(DivergedError):
        scorer = FeatureScorer(config, strategy, 6, [])
        scorer.feature_maps(black(scorer))


def test_evaluation_does_not_take_nan_for_class_0(tmp_path):
    config = config_of(tmp_path, model="broken")
    dataset = open_dataset(config.data)
    evaluator = Evaluator(config, dataset, ByteCache(0), torch.device("cpu"))
    feed = ImageFeed(
        config, dataset, SimpleNamespace(image_size=(32, 48)), ByteCache(0), torch.device("cpu")
    )
    with pytest.raises(DivergedError, match=r"not finite on 4 of 4 images of the split 'val'"):
        evaluator.evaluate(broken(6).eval(), "val", feed, LocalComm())


HUGE: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e9, "steps": 1}
WRONG: dict[str, Any] = {
    "a loss": ({"model": "broken"}, "the loss is nan at step 0 of 2"),
    "a later loss": (
        {"model": "steep", **HUGE, "steps": 4},
        r"the loss is (nan|inf) at step [123] of 4",
    ),
    "the weights after the last step": (
        {"model": "steepest", **HUGE},
        "after 1 steps 'network.body.weight'",
    ),
    "the outputs of finite weights": (
        {"model": "steep", **HUGE},
        "its logits are not finite on 4 of 4",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_run_stops_before_it_records_a_diverged_model(kind, tmp_path):
    settings, words = WRONG[kind]
    run = create_run(config_of(tmp_path, score="vote_entropy", **settings), str(tmp_path / "run"))
    with pytest.raises(DivergedError, match=f"the model diverged: {words}.*learning.rate"):
        run_loop(run)
    assert "cycle_trained" not in [event.kind for event in Journal(Storage(run)).events]
    assert not (tmp_path / "run" / "cycles" / "0000" / "checkpoint").exists()


def test_events_are_json_that_other_readers_read():
    event = Event(
        sequence=0, kind="cycle_filled", time="", data={"cycle": 1, "losses": [[0, float("nan")]]}
    )
    with pytest.raises(ValueError, match="JSON"):
        event.to_bytes()
    json.loads(Event(sequence=0, kind="cycle_filled", time="", data={"cycle": 1}).to_bytes())

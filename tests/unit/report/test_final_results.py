"""The results of final models: what is written is read, in every version."""

import json
from dataclasses import replace

import pytest

from ray_al.core.config import FinalConfig
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger.records import SplitMetrics
from ray_al.report.metrics import FinalModel, FinalResult, read_miou, read_result

VAL = SplitMetrics(miou=0.5, pixel_accuracy=0.75, iou=(0.5, None), num_images=3)
MODEL = FinalModel(
    metrics={"val": VAL},
    num_steps=4,
    num_images=8,
    train_seconds=2.0,
    evaluate_seconds=1.0,
    left_out=1,
)
RESULT = FinalResult(
    kind="final",
    metrics={"val": VAL},
    num_steps=4,
    num_images=8,
    left_out=1,
    train_seconds=2.0,
    files={"model.pt": FileRef.of("final/checkpoint/attempt-1/model.pt", b"x")},
    mious=(0.5,),
    miou=0.5,
    spread=None,
    models=(MODEL,),
)


RECIPE = FinalConfig(steps=7, train={"class_weights": {"balanced": 0.5}}).recipe


def write(folder, values):
    storage = Storage(str(folder))
    storage.replace("final/metrics.json", json.dumps(values).encode())
    return storage


def test_the_file_has_its_keys_in_their_order():
    keys = ["kind", "metrics", "num_steps", "num_images", "left_out", "train_seconds", "files"]
    keys += ["mious", "miou", "spread", "models"]
    values = RESULT.as_dict()
    assert list(values) == keys
    assert list(values["models"][0]) == [
        "metrics",
        "num_steps",
        "num_images",
        "train_seconds",
        "evaluate_seconds",
        "left_out",
    ]
    assert list(replace(RESULT, share_of_full_score=0.9).as_dict()) == [
        *keys,
        "share_of_full_score",
    ]
    assert values["metrics"]["val"] == {
        "miou": 0.5,
        "pixel_accuracy": 0.75,
        "iou": [0.5, None],
        "num_images": 3,
    }


@pytest.mark.parametrize(
    "result",
    [
        RESULT,
        replace(RESULT, share_of_full_score=0.9),
        replace(RESULT, recipe=RECIPE),
        replace(RESULT, metrics={}, mious=(), miou=None, models=(replace(MODEL, metrics={}),)),
    ],
)
def test_what_is_written_is_read(tmp_path, caplog, result):
    storage = write(tmp_path, result.as_dict())
    assert read_result(storage, "final") == result
    assert read_miou(storage, "final") == result.miou
    assert caplog.text == ""


def test_a_score_of_another_recipe_is_ignored_and_said(tmp_path, caplog):
    storage = write(tmp_path, replace(RESULT, recipe=RECIPE).as_dict())
    assert read_miou(storage, "final", RECIPE) == read_miou(storage, "final") == RESULT.miou
    assert caplog.text == ""
    assert read_miou(storage, "final", FinalConfig(steps=8).recipe) is None
    assert "ignored, as final.* has changed since; run `ray-al final" in caplog.text
    older = write(tmp_path, RESULT.as_dict())  # does not say its recipe
    assert read_miou(older, "final", RECIPE) == RESULT.miou


def test_a_file_of_an_earlier_version_has_one_model(tmp_path):
    keys = ("kind", "metrics", "num_steps", "num_images", "train_seconds", "files")
    values = {key: value for key, value in RESULT.as_dict().items() if key in keys}
    found = read_result(write(tmp_path, values), "final")
    assert found == replace(RESULT, left_out=0, models=())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"miou": "high"}, "miou is 'high'"),
        ({"metrics": {"val": {}}}, "metrics.val lacks"),
        ({"files": None}, "files is None"),
    ],
)
def test_a_damaged_file_is_named_and_ignored(tmp_path, caplog, change, words):
    storage = write(tmp_path, {**RESULT.as_dict(), **change})
    assert read_result(storage, "final") is None
    assert read_miou(storage, "final") is None
    assert "final/metrics.json: ignored, it holds no result" in caplog.text
    assert words in caplog.text


def test_no_file_is_no_result(tmp_path, caplog):
    assert read_result(Storage(str(tmp_path)), "final") is None
    assert caplog.text == ""

import os
from typing import Any

import fsspec
import pytest

from ray_al.core.config import (
    RunConfig,
    absolute,
    apply_setting,
    load_config,
    parse_config,
    parse_share,
)
from ray_al.core.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trian": {}}, ["trian", "train"]),
        ({"train": {"stepz": 3}}, ["train.stepz", "steps"]),
        ({"train": {"steps": 0}}, ["train.steps", "0"]),
        ({"train": {"steps": 5, "epochs": 2}}, ["steps=5", "epochs=2"]),
        ({"strategy": {"batch": {"kind": "powr"}}}, ["strategy.batch: kind", "powr", "power"]),
        ({"strategy": {"batch": {"kind": "power", "beta": -1}}}, ["strategy.batch.beta", "-1"]),
        ({"budget": {"amount": 1.5}}, ["budget.amount", "1.5", "share"]),
        ({"budget": {"start": 0.5, "amount": 0.1}}, ["start=0.5", "amount=0.1"]),
        ({"data": {"dataset": "camvid"}}, ["data.root"]),
        ({"train": {"workers": 2, "gpus_per_worker": 0.5}}, ["gpus_per_worker=0.5", "0.6"]),
        (
            {"train": {"warm_learning_rate": 0.01}},
            ["warm_learning_rate=0.01", "policy=reset", "finetune"],
        ),
        ({"name": "a/b"}, ["name", "a/b"]),
        ({"seed": "x"}, ["seed", "x"]),
    ],
)
def test_a_problem_names_key_value_and_remedy(values, words):
    with pytest.raises(ConfigError) as error:
        parse_config(values, source="c.yaml")
    message = str(error.value)
    assert message.startswith("c.yaml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_shares_counts_and_percent():
    config = parse_config({"budget": {"start": "2 %", "per_cycle": 5, "amount": 0.12}}, source="c")
    assert (config.budget.start, config.budget.per_cycle, config.budget.amount) == (0.02, 5, 0.12)


def test_paths_are_relative_to_the_file_and_overrides_to_the_caller(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "c.yaml").write_text("data: {dataset: camvid, root: ../images}\n")
    assert load_config(str(tmp_path / "jobs" / "c.yaml")).data.root == str(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    config = load_config(str(tmp_path / "jobs" / "c.yaml"), ["data.root=here", "train.epochs=3"])
    assert config.data.root == str(tmp_path / "here")
    assert (config.train.steps, config.train.epochs) == (None, 3)


def test_the_resolved_configuration_reads_back_the_same(tmp_path):
    (tmp_path / "c.yaml").write_text(RunConfig().to_yaml())
    assert load_config(str(tmp_path / "c.yaml")) == RunConfig()


@pytest.mark.parametrize(
    ("image_size", "workers", "num_images", "expected"),
    [
        ([180, 240], 1, 1500, 256),
        ([360, 480], 1, 2_000_000, 194),
        ([1024, 2048], 16, 2_000_000, 64),  # a task would take long
        ([120, 160], 1, 367, 256),
        ([120, 160], 2, 367, 48),  # four tasks a worker
        ([120, 160], 8, 367, 16),
        ([120, 160], 0, 10, 16),
    ],
)
def test_tasks_are_long_for_large_pools_and_even_for_small_ones(
    image_size, workers, num_images, expected
):
    config = parse_config(
        {"data": {"root": "x", "image_size": image_size}, "scoring": {"workers": workers}},
        source="test",
    )
    assert config.shard_size(num_images) == expected
    assert (
        parse_config(
            {"data": {"root": "x"}, "scoring": {"shard_size": 7}}, source="test"
        ).shard_size(num_images)
        == 7
    )


def test_tasks_of_kept_features_are_longer():
    values: dict[str, Any] = {
        "data": {"root": "x", "image_size": [128, 128]},
        "model": {"kind": "composed", "backbone": {"kind": "torchvision", "name": "resnet18"}},
    }
    assert parse_config(values, source="test").shard_size(10_000) == 1024
    assert (
        parse_config(
            {**values, "model": {**values["model"], "frozen": False}}, source="test"
        ).shard_size(10_000)
        == 256
    )


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration"):
        load_config(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(str(tmp_path / "bad.yaml"))


@pytest.mark.parametrize(
    ("train", "score", "kept"),
    [
        ({"workers": 2}, {}, True),
        ({"workers": 2, "keep_workers": False}, {}, False),
        ({"workers": [1, 2]}, {}, True),
        ({"workers": 2, "gpus_per_worker": 0.6}, {"gpus_per_worker": 0.4}, True),
        ({"workers": 2, "gpus_per_worker": 1}, {"gpus_per_worker": 1}, False),
        ({"workers": [1, 2], "gpus_per_worker": 1}, {}, False),
    ],
)
def test_when_the_training_group_is_kept(train, score, kept):
    assert parse_config({"train": train, "scoring": score}, source="c").keeps_group is kept


def test_an_override_changes_its_key_alone(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "train: &recipe {steps: 300, batch_size: 8, learning_rate: 0.003}\nfinal: *recipe\n"
    )
    config = load_config(
        str(path), ["train.steps=5", "train.learning_rate=0.1", "train.momentum=0.5"]
    )
    assert (config.train.steps, config.train.learning_rate, config.train.momentum) == (5, 0.1, 0.5)
    assert (config.final.steps, config.final.batch_size, config.final.learning_rate) == (
        300,
        8,
        0.003,
    )


def test_an_override_of_a_setting_inside_a_word_keeps_its_kind(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("label: {annotator: files}\n")
    annotator = load_config(str(path), ["label.annotator.share=0.5"]).label.annotator
    assert (annotator.kind, annotator.quorum) == ("files", 0.5)
    assert load_config(str(path), ["label.annotator=simulated"]).label.annotator.kind == "simulated"


def test_a_setting_shares_nothing_with_what_it_came_from():
    values: dict[str, Any] = {}
    section = {"root": "images", "class_names": ["a", "b"]}
    apply_setting(values, "data", section, folder="/here")
    apply_setting(values, "data.train_split", "mine")
    values["data"]["class_names"].append("c")
    assert section == {"root": "images", "class_names": ["a", "b"]}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("regions={kind:", ["--set regions", "not valid YAML", "'{kind:'", "quotes"]),
        ("train.learning_rate=.inf", ["train.learning_rate", "inf", "finite"]),
        ("budget.start=.nan", ["budget.start", "nan", "finite"]),
        ("train.workers=true", ["train.workers", "True", "not numbers"]),
        ("train.class_weights=[true, 1]", ["train.class_weights", "not numbers"]),
        ("train.class_weights=[0, 0]", ["class_weights", "all 0"]),
        ("train.augment.scale=[2, 0.5]", ["scale=[2.0, 0.5]", "swap"]),
        ("train.extra_every=1.5", ["train.extra_every", "1.5"]),
        ("train.gpus_per_worker=1.5", ["train.gpus_per_worker", "1.5", "whole"]),
        ("data.cache_gb=1e300", ["data.cache_gb", "1e+300"]),
        ("data.train_split=../..", ["data.train_split", "../.."]),
        ("data.root=''", ["data.root"]),
        ("data.class_names=[1, 2]", ["data.class_names", "quotes"]),
        ("data.class_names=[]", ["data.class_names"]),
        ("data.class_names=['']", ["data.class_names", "name"]),
        ("data.colors=[[0, 0, 300]]", ["data.colors", "300"]),
        ("train..steps=3", ["train..steps", "empty"]),
        ("train=", ["train", "None", "keys with values"]),
        ("seed=99999999999999999999999", ["seed", "64 bits"]),
        ("train.steps={a: 1, a: 2}", ["--set train.steps", "twice"]),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(tmp_path, override, words):
    (tmp_path / "c.yaml").write_text("name: c\n")
    with pytest.raises(ConfigError) as error:
        load_config(str(tmp_path / "c.yaml"), [override])
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("train.learning_rate=1e-3", lambda config: config.train.learning_rate == 0.001),
        (
            "data.class_names=[yes, no, on]",
            lambda config: config.data.class_names == ("yes", "no", "on"),
        ),
        ("data.nearest_color=yes", lambda config: config.data.nearest_color is True),
        ("train.steps=1_000", lambda config: config.train.steps == 1000),
        ("train.steps=1e3", lambda config: config.train.steps == 1000),
        ("name=2024-01-01", lambda config: config.name == "2024-01-01"),
        ("name=007", lambda config: config.name == "007"),
        ("seed=010", lambda config: config.seed == 10),
        ("strategy.lazy=null", lambda config: config.strategy.lazy is None),
        ("budget.start=2 %", lambda config: config.budget.start == 0.02),
    ],
)
def test_an_override_is_read_as_it_is_meant(tmp_path, override, read):
    (tmp_path / "c.yaml").write_text("name: c\n")
    assert read(load_config(str(tmp_path / "c.yaml"), [override]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "0",
        "false",
        "''",
        "- a",
        "text",
        "# only a comment\n",
        "train: {steps: 3}\ntrain: {steps: 4}\n",
    ],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize("path", ["", ".", "c.yaml/x", "x" * 300, "nosuch://c.yaml"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("name: c\n")
    with pytest.raises(ConfigError, match="configuration file|YAML file|unknown protocol"):
        load_config(path)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "-1", "2", "200%", "x", "", "1_0"])
def test_a_share_lies_between_0_and_1(text):
    with pytest.raises(ConfigError, match="--at"):
        parse_share(text, name="--at")


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("images", "/jobs", "/jobs/images"),
        ("../images", "/jobs", "/images"),
        ("/images/../x", "/jobs", "/x"),
        ("s3://b/x", "/jobs", "s3://b/x"),
        ("../images", "s3://b/jobs", "s3://b/images"),
        ("/images", "s3://b/jobs", "/images"),
        ("~/x", "s3://b/jobs", os.path.expanduser("~/x")),
    ],
)
def test_a_place_is_relative_to_the_folder_of_its_file(path, folder, expected):
    assert absolute(path, folder) == expected


def test_places_of_weights_and_features_are_relative_to_the_file(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "model: {kind: composed, backbone: {kind: torchvision}, weights: w.pth}\n"
        "features: {store: {kind: files, root: kept}}\n"
    )
    config = load_config(str(tmp_path / "c.yaml"))
    assert config.model.weights == str(tmp_path / "w.pth")
    assert vars(config.features.store)["root"] == str(tmp_path / "kept")
    config = load_config(
        str(tmp_path / "c.yaml"), ["model.weights=backbone", "features.store.root=s3://bucket/kept"]
    )
    assert (config.model.weights, vars(config.features.store)["root"]) == (
        "backbone",
        "s3://bucket/kept",
    )


def test_a_file_in_a_bucket_names_places_beside_it():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/jobs/c.yaml", b"data: {dataset: camvid, root: ../images}\n")
    try:
        assert load_config("memory://jobs/c.yaml").data.root == "memory://images"
    finally:
        memory.rm("/jobs", recursive=True)


def test_of_steps_and_epochs_the_last_one_counts(tmp_path):
    (tmp_path / "c.yaml").write_text("train: {epochs: 5}\nmodel: {args: {train: {epochs: 1}}}\n")
    assert load_config(str(tmp_path / "c.yaml"), ["train.steps=3"]).train.epochs is None
    assert load_config(str(tmp_path / "c.yaml"), ["train.steps=null"]).train.epochs == 5
    assert load_config(str(tmp_path / "c.yaml"), ["model.args={train: {steps: 2}}"]).model.args == {
        "train": {"epochs": 1, "steps": 2}
    }


def test_a_setting_of_the_default_kind_needs_no_kind():
    config = parse_config({"features": {"store": {"limit_gb": 3}}}, source="x")
    assert vars(config.features.store)["limit_gb"] == 3
    with pytest.raises(
        ConfigError,
        match=r"features\.views\.0.*its kind is missing; give one of mirror, crop, color",
    ):
        parse_config({"features": {"views": [{"scale": [1, 2]}]}}, source="x")


@pytest.mark.parametrize(
    ("values", "old", "new"),
    [
        ({"strategy": {"score": "equal"}}, "strategy.score", "strategy.acquisition"),
        ({"score": {"workers": 0}}, "score", "scoring"),
    ],
)
def test_keys_of_earlier_versions_are_refused_with_their_new_names(values, old, new):
    with pytest.raises(ConfigError, match=f"unknown key '{old}' .*it is called '{new}' now"):
        parse_config(values, source="c.yaml")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_with_one_trainer_may_share_its_gpu_with_other_runs(workers: int) -> None:
    config = parse_config({"train": {"workers": workers, "gpus_per_worker": 0.08}}, source="test")
    assert config.train.gpus_per_worker == 0.08

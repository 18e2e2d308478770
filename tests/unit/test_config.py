import pytest

from ray_al.core.config import RunConfig, load_config, parse_config
from ray_al.core.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trian": {}}, ["trian", "train"]),
        ({"train": {"stepz": 3}}, ["train.stepz", "steps"]),
        ({"train": {"steps": 0}}, ["train.steps", "0"]),
        ({"train": {"steps": 5, "epochs": 2}}, ["steps=5", "epochs=2"]),
        ({"strategy": {"batch": {"kind": "powr"}}}, ["strategy.batch.kind", "powr", "power"]),
        ({"strategy": {"batch": {"kind": "power", "beta": -1}}}, ["strategy.batch.beta", "-1"]),
        ({"budget": {"amount": 1.5}}, ["budget.amount", "1.5", "share"]),
        ({"budget": {"start": 0.5, "amount": 0.1}}, ["start=0.5", "amount=0.1"]),
        ({"data": {"dataset": "camvid"}}, ["data.root"]),
        ({"train": {"gpus_per_worker": 0.5}}, ["gpus_per_worker=0.5", "0.6"]),
        ({"train": {"warm_learning_rate": 0.01}}, ["warm_learning_rate=0.01", "policy=reset", "finetune"]),
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
        ([120, 160], 1, 367, 96),  # four tasks
        ([120, 160], 8, 367, 16),
        ([120, 160], 0, 10, 16),
    ],
)
def test_tasks_are_long_for_large_pools_and_even_for_small_ones(image_size, workers, num_images, expected):
    config = parse_config({"data": {"root": "x", "image_size": image_size}, "score": {"workers": workers}}, source="test")
    assert config.shard_size(num_images) == expected
    assert parse_config({"data": {"root": "x"}, "score": {"shard_size": 7}}, source="test").shard_size(num_images) == 7


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
    assert parse_config({"train": train, "score": score}, source="c").keeps_group is kept

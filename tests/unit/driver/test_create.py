"""When the cluster is asked while a run is made."""

from typing import Any

import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run


def configure(root, **train):
    write_synthetic(str(root / "data"), num_images=8, seed=0)
    values = {
        "data": {"dataset": "synthetic", "root": str(root / "data"), "image_size": [32, 48]},
        "regions": {"rows": 2, "columns": 2},
        "train": {"steps": 2, "batch_size": 2, "threads": 1, **train},
        "scoring": {
            "workers": 0,
            "threads": 1,
            "batch_size": 2,
            "precision": "fp32",
            "shard_size": 3,
        },
        "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    }
    return parse_config(values, source="test")


def test_a_cluster_that_is_too_small_refuses_a_run_before_anything_is_written(tmp_path):
    def prepare(config):
        def ready():
            raise ConfigError("the cluster is too small")

        return ready

    with pytest.raises(ConfigError, match="too small"):
        create_run(configure(tmp_path), str(tmp_path / "run"), prepare=prepare)
    assert not (tmp_path / "run").exists()


def test_a_configuration_that_is_wrong_starts_no_cluster(tmp_path):
    asked: list[Any] = []
    with pytest.raises(ConfigError, match="train.class_weights"):
        create_run(
            configure(tmp_path, class_weights=[1.0]), str(tmp_path / "run"), prepare=asked.append
        )
    assert not asked

from types import SimpleNamespace

import pytest
from helpers.records import run_created

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.context import Context


def test_a_run_of_other_classes_does_not_go_on(tmp_path):
    """As with a class that was predicted once, and is in data.ignore_ids."""
    write_synthetic(str(tmp_path / "data"), num_images=1, seed=0)
    config = parse_config(
        {"data": {"dataset": "synthetic", "root": str(tmp_path / "data"), "ignore_ids": [5]}},
        source="test",
    )
    names = ["sky", "ground", "building", "tree", "car", "sign"]
    colors = [[number, 0, 0] for number in range(6)]
    state = SimpleNamespace(created=run_created(class_names=names, colors=colors), validation=None)
    with pytest.raises(
        ConfigError,
        match=r"the run has the classes \['sky'.*'sign'\], its data set now has \['sky'.*'car'\]",
    ):
        Context(
            Storage(str(tmp_path / "run")),
            config,
            SimpleNamespace(state=state),
            lambda *done: None,
            lambda: False,
        )

from types import SimpleNamespace

import pyarrow as pa
import pytest
from helpers.records import run_created

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile
from ray_al.datasets import Dataset
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.context import Context, tell_of_new_images


def test_a_run_of_other_classes_does_not_go_on(tmp_path):
    """As with a class that was predicted once, and is in data.ignore_ids."""
    write_synthetic(str(tmp_path / "data"), num_images=1, seed=0)
    config = parse_config(
        {"data": {"dataset": "synthetic", "root": str(tmp_path / "data"), "ignore_ids": [5]}},
        source="test",
    )
    names = ["sky", "ground", "building", "tree", "car", "sign"]
    colors = [[number, 0, 0] for number in range(6)]
    state = SimpleNamespace(created=run_created(class_names=names, colors=colors))
    with pytest.raises(
        ConfigError,
        match=r"began with the classes \['sky'.*'sign'\], its data set now has \['sky'.*'car'\]",
    ):
        Context(
            Storage(str(tmp_path / "run")),
            config,
            SimpleNamespace(state=state),
            lambda *done: None,
            lambda: False,
        )


def test_images_that_were_added_later_are_named(caplog):
    images = [ImageFile(image_id=f"{n}.png", uri=f"/d/{n}.png", mask_uri=None) for n in range(9)]
    dataset = Dataset(
        root="/d",
        class_names=("a", "b"),
        colors=((0, 0, 0), (9, 9, 9)),
        decoder=MaskDecoder(num_classes=2),
        splits={"train": tuple(images), "val": ()},
    )
    tell_of_new_images(dataset, pa.table({"image_id": [image.image_id for image in images]}))
    assert not caplog.text
    tell_of_new_images(dataset, pa.table({"image_id": ["0.png", "1.png", "gone.png"]}))
    words = "7 images were added to the pool's split after the run began, and take no part in it: "
    assert f"{words}2.png, 3.png, 4.png, 5.png, 6.png and 2 more" in caplog.text

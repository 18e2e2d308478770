"""Outlines in COCO's format that are none say why."""

import json
from pathlib import Path
from typing import Any

import pytest

from ray_al.datasets.coco_file import read_coco


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ([1, 2, 3, 4, 5, 6], "its segmentation is no list of polygons"),
        ({"counts": [4]}, "its runs have no size"),
        ({"size": [2, "x"], "counts": [4]}, "its runs have no size"),
        ({"size": [2, 2], "counts": [9]}, "its runs have no usable counts"),
    ],
)
def test_an_outline_that_is_none(tmp_path: Path, outline: Any, words: str) -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 7, "segmentation": outline}
    values = {
        "images": [{"id": 1, "file_name": "a.png", "height": 2, "width": 2}],
        "annotations": [annotation],
        "categories": [{"id": 7, "name": "disc"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(values))
    (image,) = read_coco(str(tmp_path / "coco.json"), "stamp").images.values()
    assert str(image.annotations[0].outline).startswith(words)

"""Annotations of labelme: what its shapes cover, and which files are refused."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ray_al.core.config import DataConfig
from ray_al.core.errors import ConfigError, DataError
from ray_al.datasets import open_dataset
from ray_al.datasets.masks import read_mask

SIZE = (20, 30)
NAMES = ["background", "car", "tree"]


def png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def shape(label: str, points: list[list[float]], kind: str = "polygon", **more: Any) -> Any:
    return {"label": label, "points": points, "shape_type": kind, **more}


def write(root: Path, shapes: Any, **changes: Any) -> None:
    for split in ("train", "val"):
        folder = root / "images" / split
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE[1], SIZE[0])).save(folder / "a.jpg")
        values = {"shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1], **changes}
        (folder / "a.json").write_text(json.dumps(values))


def read(root: Path, **layout: Any) -> np.ndarray:
    dataset = {"kind": "labelme", **layout}
    data = DataConfig.model_validate({"dataset": dataset, "root": str(root), "class_names": NAMES})
    opened = open_dataset(data)
    assert not opened.findings
    return read_mask(str(opened.splits["train"][0].mask_uri), opened.decoder)


def test_later_shapes_cover_earlier_ones(tmp_path: Path) -> None:
    drawn = np.array([[True, False], [False, True]])
    write(
        tmp_path,
        [
            shape("car", [[2, 3], [9, 3], [9, 8], [2, 8]]),
            shape("tree", [[9, 8], [7, 6]], "rectangle"),
            shape("car", [[20, 10], [23, 10]], "circle"),
            shape("tree", [[1, 15], [2, 16]], "mask", mask=png(drawn)),
            {"label": "glare", "points": [[28, 0], [29, 0], [29, 1]]},
        ],
    )
    mask = read(tmp_path, labels={"glare": "ignore"})
    assert (mask[3:6, 2:10] == 1).all() and (mask[6:9, 7:10] == 2).all() and mask[8, 6] == 1
    assert mask[10, 17] == mask[10, 23] == 1 and mask[7, 17] == 0
    assert mask[15, 1] == mask[16, 2] == 2 and mask[15, 2] == mask[16, 1] == 0
    assert mask[0, 29] == 255 and mask[0, 0] == 0
    assert read(tmp_path, labels={"glare": "car"}, background=None)[0, 0] == 255


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (shape("lorry", [[1, 1], [5, 1], [5, 5]]), "its label 'lorry' is none of the classes"),
        (shape("car", [[1, 1], [5, 1]], "line"), "of the kind 'line', which covers no area"),
        (shape("car", [[1, 1], [5, 1]]), "has 2 points, which are no polygon"),
        (shape("car", [[1, 1], [5, 1], [1e12, 5]]), "points that cannot be pixels of 20x30"),
        (shape("car", [[1, 1], [5, 1], [float("nan"), 5]]), "points that cannot be pixels"),
        (shape("car", [[1, 1], [5, 1], []]), "points that cannot be pixels"),
        (shape("car", [[31, 1], [40, 1], [35, 9]]), "points that cannot be pixels of 20x30"),
        (shape("car", [[1, 1], [2, 2]], "mask", mask="AAAA"), "no usable picture"),
        (
            shape("car", [[1, 1], [2, 2]], "mask", mask=png(np.ones((9, 9), bool))),
            "no usable picture",
        ),
        ({"points": []}, "shapes[0] has no label"),
    ],
)
def test_shapes_that_cannot_be_drawn_are_refused(wrong: Any, words: str, tmp_path: Path) -> None:
    write(tmp_path, [wrong])
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert words in str(error.value) and "a.json" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"imageHeight": None}, "imageHeight None and imageWidth 30 are no size"),
        ({"imageHeight": 10**6, "imageWidth": 10**6}, "more than the limit"),
        ({"shapes": 3}, "no list called 'shapes'"),
    ],
)
def test_files_without_a_size_or_shapes_are_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    write(tmp_path, **{"shapes": [], **changes})
    with pytest.raises(DataError, match=words):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_files_that_are_no_annotation_are_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, [])
    (tmp_path / "images" / "train" / "a.json").write_text(text)
    with pytest.raises(DataError, match="save it again"):
        read(tmp_path)


def test_settings_that_name_no_class_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [])
    with pytest.raises(ConfigError, match="data.dataset.background='ground': no such class"):
        read(tmp_path, background="ground")
    with pytest.raises(ConfigError, match="data.dataset.labels.lorry='truck': no such class"):
        read(tmp_path, labels={"lorry": "truck"})


def findings(root: Path) -> str:
    data = DataConfig(dataset="folder", root=str(root), class_names=NAMES)
    return "; ".join(finding.message for finding in open_dataset(data).findings)


def test_files_of_tools_that_the_folder_layout_does_not_read_are_said(tmp_path: Path) -> None:
    write(tmp_path, [])
    masks = tmp_path / "masks" / "train"
    masks.mkdir(parents=True)
    said = "images/train/a.json; if labelme made them, set data.dataset=labelme"
    assert said in findings(tmp_path)
    by_label = "if each file holds one label of an image, export COCO's format instead"
    empty = Image.new("L", (SIZE[1], SIZE[0]))
    empty.save(masks / "a_car.png")
    assert by_label not in findings(tmp_path)
    empty.save(masks / "a_tree.png")
    assert by_label in findings(tmp_path)
    for file in masks.iterdir():
        file.unlink()
    empty.save(masks / "task-3-annotation-7-by-1-tag-car-0.png")
    assert by_label in findings(tmp_path)
    empty.save(masks / "a.png")
    assert said not in findings(tmp_path)

"""Runs over annotations in COCO's format, in this process: by simulation, and begun by a tool."""

import json

import numpy as np
from helpers.run_reading import labels_of, state_of
from helpers.small_runs import SETTINGS
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.datasets.compose import decode_mask
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.settings import change_settings
from ray_al.driver.verify import verify

SIZE = (40, 60)


def pixels_of(number):
    """The pixels of the only object of an image: a rectangle, so its runs are easily written."""
    top, left = 3 + number, 5 + 2 * number
    pixels = np.zeros(SIZE, bool)
    pixels[top : top + 20, left : left + 25] = True
    return pixels


def write(root, split, numbers, annotated):
    images, annotations = [], []
    (root / "images" / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    for number in numbers:
        pixels, name = pixels_of(number), f"{split}{number}.png"
        picture = np.where(pixels[..., None], 200 - number, 40 + number).astype(np.uint8)
        Image.fromarray(np.repeat(picture, 3, axis=2)).save(root / "images" / split / name)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        if number not in annotated:
            continue
        top, left = 3 + number, 5 + 2 * number
        corners = [left, top, left + 25, top, left + 25, top + 20, left, top + 20]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "segmentation": [corners]}
        )
    values = {"images": images, "annotations": annotations}
    values["categories"] = [{"id": 1, "name": "thing"}]
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(values))


def config_of(root, annotated, **changes):
    write(root, "train", range(6), annotated)
    write(root, "val", range(6, 8), (6, 7))
    values = {
        **SETTINGS,
        "data": {"dataset": "coco", "root": str(root), "image_size": [32, 48]},
        "model": {"name": "helpers.training:tiny"},
        **changes,
    }
    return parse_config(values, source="test")


def test_a_simulated_run_labels_what_is_annotated(tmp_path):
    run_dir = create_run(config_of(tmp_path / "data", range(6)), str(tmp_path / "run"))
    assert run_loop(run_dir).kind == "finished"
    assert verify(run_dir)["labelled_regions"] == 12
    for row in labels_of(run_dir):
        top, left, bottom, right = row["box"]
        expected = pixels_of(row["image_index"])[top:bottom, left:right]
        assert np.array_equal(decode_mask(row["mask"]), expected.astype(np.uint8))


def test_what_a_tool_annotated_is_where_people_go_on(tmp_path):
    budget = {"per_cycle": 4, "amount": 20}
    config = config_of(
        tmp_path / "data",
        (1, 4),
        label={"annotator": "files"},
        budget={**budget, "start_rule": "existing"},
    )
    run_dir = create_run(config, str(tmp_path / "run"))
    assert run_loop(run_dir).kind == "waiting"
    state = state_of(run_dir)
    assert {row["image_index"] for row in labels_of(run_dir)} == {1, 4}
    assert state.spent == 8
    verify(run_dir)


def test_the_data_of_a_run_may_move(tmp_path):
    run_dir = create_run(
        config_of(tmp_path / "data", (1, 4), label={"annotator": "files"}), str(tmp_path / "run")
    )
    assert run_loop(run_dir).kind == "waiting"
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    change_settings(run_dir, [f"data.root={tmp_path / 'elsewhere'}"])
    assert run_loop(run_dir).kind == "waiting"

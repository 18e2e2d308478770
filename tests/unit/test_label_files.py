import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ray_al.core.storage import Storage
from ray_al.core.types import QUERY_SCHEMA, Box
from ray_al.datasets.compose import decode_mask
from ray_al.label import files

BOX = Box(top=10, left=20, bottom=30, right=50)


@pytest.fixture
def tasks(tmp_path):
    storage = Storage(str(tmp_path))
    rows = [
        {"image_index": i, "image_id": f"i{i}", "region": 1, "score": 0.5, "num_pixels": 600, "rank": i, "reason": "", "cost": 1} for i in range(3)
    ]
    count = files.write_tasks(
        storage,
        "tasks",
        pa.Table.from_pylist(rows, schema=QUERY_SCHEMA),
        read_image=lambda index: np.zeros((60, 80, 3), np.uint8),
        box_of=lambda index, region: BOX,
        propose=lambda index: np.full((60, 80), index, np.uint8),
        class_names=("a", "b"),
        colors=((0, 0, 0), (1, 1, 1)),
        margin=5,
    )
    assert count == 3
    return storage


def answer(storage, name, mask, mode="L"):
    buffer = io.BytesIO()
    Image.fromarray(mask).convert(mode).save(buffer, format="PNG")
    storage.replace(f"tasks/{name}.mask.png", buffer.getvalue())


def test_a_task_holds_what_people_need(tasks):
    manifest = json.loads(tasks.read("tasks/tasks.json"))
    assert manifest["version"] == 1
    assert [c["name"] for c in manifest["classes"]] == ["a", "b"]
    assert manifest["tasks"][0]["context"] == [5, 15, 35, 55]
    assert Image.open(io.BytesIO(tasks.read("tasks/task-00000.png"))).size == (40, 30)
    assert decode_mask(tasks.read("tasks/task-00001.proposal.png")).tolist() == np.ones((20, 30)).tolist()


def test_answers_of_both_sizes_are_taken_and_wrong_ones_refused(tasks):
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    whole = np.full((30, 40), 255, np.uint8)
    whole[5:25, 5:35] = 1
    answer(tasks, "task-00001", whole)
    answer(tasks, "task-00002", np.full((20, 30), 7, np.uint8))
    labels = files.collect(tasks, "tasks", taken=set(), num_classes=2)
    assert labels.table.column("image_id").to_pylist() == ["i0", "i1"]
    assert all((decode_mask(png) == 1).all() for png in labels.table.column("mask").to_pylist())
    (refused,) = labels.refused
    assert (refused["image_id"], refused["final"]) == ("i2", False)
    assert "id 7 on 600 pixels" in refused["reason"]


def test_what_was_taken_is_not_taken_again(tasks):
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    assert len(files.collect(tasks, "tasks", taken={("i0", 1)}, num_classes=2).table) == 0


@pytest.mark.parametrize(("mask", "words"), [(np.ones((3, 4), np.uint8), "3x4 pixels, expected 20x30"), (np.ones((20, 30, 3), np.uint8), "mode RGB")])
def test_wrong_masks_say_why(tasks, mask, words):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG")
    tasks.replace("tasks/task-00000.mask.png", buffer.getvalue())
    (refused,) = files.collect(tasks, "tasks", taken=set(), num_classes=2).refused
    assert words in refused["reason"]

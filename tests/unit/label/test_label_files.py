import hashlib
import io
import json
import os

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ray_al.core.families.annotators import ANNOTATORS, LabelRequest
from ray_al.core.families.label_parts import Classes
from ray_al.core.families.labels import LABELS
from ray_al.core.storage import Storage
from ray_al.core.types import QUERY_SCHEMA, Box
from ray_al.datasets.compose import decode_mask

CLASSES = Classes(names=("a", "b"), colors=((200, 0, 0), (0, 200, 0)))
BOX = Box(top=10, left=20, bottom=30, right=50)
CORNER = np.arange(20)[:, None] < 5


class Regions:
    """One region, which fills its box, or only the upper part of it."""

    def __init__(self, part=False):
        self.part = part

    def box(self, region):
        return BOX

    def mask(self, region):
        return np.broadcast_to(CORNER, (20, 30)) if self.part else None


def query():
    rows = [
        {
            "image_index": i,
            "image_id": f"i{i}",
            "region": 1,
            "score": 0.5,
            "num_pixels": 600,
            "rank": i,
            "reason": "",
            "cost": 1,
        }
        for i in range(3)
    ]
    return pa.Table.from_pylist(rows, schema=QUERY_SCHEMA)


FILES = ANNOTATORS.parse({"kind": "files", "margin": 5})


def asked(storage, kind="dense", part=False, classes=CLASSES, **names):
    return LabelRequest(
        storage=storage,
        folder="tasks",
        query=query(),
        label=LABELS.parse({"kind": kind}),
        classes=classes,
        regions_of=lambda index: Regions(part),
        size_of=lambda index: (60, 80),
        read_image=lambda index: np.zeros((60, 80, 3), np.uint8),
        propose=lambda index: np.full((60, 80), index, np.uint8),
        truth=None,
        **names,
    )


def collect(storage, taken=frozenset(), kind="dense", part=False, classes=CLASSES):
    return FILES.collect(asked(storage, kind, part, classes, taken=set(taken)))


@pytest.fixture
def tasks(tmp_path):
    return write(tmp_path)


def write(tmp_path, kind="dense", part=False, leave_out=frozenset()):
    storage = Storage(str(tmp_path))
    assert FILES.request(asked(storage, kind, part, left_out=leave_out)) == 3 - len(leave_out)
    return storage


def answer(storage, name, mask, mode="L"):
    buffer = io.BytesIO()
    Image.fromarray(mask).convert(mode).save(buffer, format="PNG")
    storage.replace(f"tasks/{name}.mask.png", buffer.getvalue())


def test_a_task_holds_what_people_need(tasks):
    manifest = json.loads(tasks.read("tasks/tasks.json"))
    assert manifest["version"] == 2
    assert [c["name"] for c in manifest["classes"]] == ["a", "b"]
    assert manifest["tasks"][0]["context"] == [5, 15, 35, 55]
    assert Image.open(io.BytesIO(tasks.read("tasks/task-00000.png"))).size == (40, 30)
    assert (
        decode_mask(tasks.read("tasks/task-00001.proposal.png")).tolist()
        == np.ones((20, 30)).tolist()
    )


def test_answers_of_both_sizes_are_taken_and_wrong_ones_refused(tasks):
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    whole = np.full((30, 40), 255, np.uint8)
    whole[5:25, 5:35] = 1
    answer(tasks, "task-00001", whole)
    answer(tasks, "task-00002", np.full((20, 30), 7, np.uint8))
    labels = collect(tasks)
    assert labels.table.column("image_id").to_pylist() == ["i0", "i1"]
    assert all((decode_mask(png) == 1).all() for png in labels.table.column("mask").to_pylist())
    (refused,) = labels.refused
    assert (refused.image_id, refused.final) == ("i2", False)
    assert "id 7 on 600 pixels" in refused.reason


def test_what_was_taken_is_not_taken_again(tasks):
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    assert len(collect(tasks, {("i0", 1)}).table) == 0


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((3, 4), np.uint8), "3x4 pixels, expected 20x30"),
        (np.ones((20, 30, 3), np.uint8), "mode RGB"),
    ],
)
def test_wrong_masks_say_why(tasks, mask, words):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG")
    tasks.replace("tasks/task-00000.mask.png", buffer.getvalue())
    (refused,) = collect(tasks).refused
    assert words in refused.reason


def test_only_the_regions_pixels_are_taken(tmp_path):
    tasks = write(tmp_path, part=True)
    assert (
        decode_mask(tasks.read("tasks/task-00000.region.png")).tolist()
        == (np.broadcast_to(CORNER, (20, 30)) * 255).tolist()
    )
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    (png,) = collect(tasks, part=True).table.column("mask").to_pylist()
    assert decode_mask(png).tolist() == np.where(np.broadcast_to(CORNER, (20, 30)), 1, 255).tolist()


@pytest.mark.parametrize(
    ("kind", "text", "classes", "clicks"),
    [
        ("dominant", '["b"]', [1], 1),
        ("dominant", "[]", [], 1),
        ("classes", '["b", 0]', [0, 1], 2),
        ("classes", "[]", [], 1),
    ],
)
def test_classes_are_named_in_json(tmp_path, kind, text, classes, clicks):
    tasks = write(tmp_path, kind, part=True)
    tasks.replace("tasks/task-00001.classes.json", text.encode())
    (row,) = collect(tasks, kind=kind, part=True).table.to_pylist()
    assert (row["image_id"], row["kind"], row["classes"], row["clicks"]) == (
        "i1",
        kind,
        classes,
        clicks,
    )
    assert (decode_mask(row["mask"]) == np.where(np.broadcast_to(CORNER, (20, 30)), 255, 0)).all()


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("dominant", '["a", "b"]', "2 classes, the dominant one is asked for"),
        ("classes", '["c"]', "class 'c' is not known"),
        ("classes", "[2]", "class 2 is not known"),
        ("classes", "{}", "write a list"),
        ("classes", "a", "not JSON"),
    ],
)
def test_wrong_classes_say_why(tmp_path, kind, text, words):
    tasks = write(tmp_path, kind)
    tasks.replace("tasks/task-00000.classes.json", text.encode())
    (refused,) = collect(tasks, kind=kind).refused
    assert words in refused.reason


def test_tasks_json_is_not_read(tasks):
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    tasks.replace("tasks/tasks.json", b"{}")
    (row,) = collect(tasks).table.to_pylist()
    assert (row["image_id"], row["region"], row["box"], row["kind"]) == (
        "i0",
        1,
        [10, 20, 30, 50],
        "dense",
    )


def good(storage, name):
    answer(storage, name, np.ones((20, 30), np.uint8))
    return storage.read(f"tasks/{name}.mask.png")


def test_what_is_no_file_is_refused_and_the_others_are_taken(tasks, tmp_path):
    good(tasks, "task-00002")
    os.mkfifo(tmp_path / "tasks/task-00000.mask.png")
    (tmp_path / "tasks/task-00001.mask.png").mkdir()
    labels = collect(tasks)
    assert labels.table.column("image_id").to_pylist() == ["i2"]
    assert all(
        "no file that can be read" in refusal.reason and not refusal.final
        for refusal in labels.refused
    )
    assert [refusal.image_id for refusal in labels.refused] == ["i0", "i1"]


@pytest.mark.parametrize("target", ["nowhere", "task-00000.mask.png", "/dev/zero"])
def test_links_that_lead_nowhere_are_refused(tasks, tmp_path, target):
    (tmp_path / "tasks/task-00000.mask.png").symlink_to(target)
    (refused,) = collect(tasks).refused
    assert "a link that leads nowhere" in refused.reason


def test_a_link_to_an_answer_is_an_answer(tasks, tmp_path):
    (tmp_path / "elsewhere.png").write_bytes(good(tasks, "task-00001"))
    (tmp_path / "tasks/task-00000.mask.png").symlink_to(tmp_path / "elsewhere.png")
    assert collect(tasks).table.column("image_id").to_pylist() == ["i0", "i1"]


def test_capitals_in_a_name_do_not_matter_but_two_answers_do(tasks):
    tasks.replace("tasks/TASK-00001.mask.PNG", good(tasks, "task-00000"))
    assert collect(tasks).table.column("image_id").to_pylist() == ["i0", "i1"]
    tasks.replace("tasks/task-00000.Mask.png", tasks.read("tasks/task-00000.mask.png"))
    labels = collect(tasks)
    assert labels.table.column("image_id").to_pylist() == ["i1"]
    assert (
        "several files answer this task (task-00000.Mask.png, task-00000.mask.png)"
        in labels.refused[0].reason
    )


def test_a_label_holds_the_digest_of_its_answer(tasks):
    data = good(tasks, "task-00000")
    assert collect(tasks).table.column("answer_sha256").to_pylist() == [
        hashlib.sha256(data).hexdigest()
    ]


def test_a_region_mask_in_the_folder_is_not_read(tmp_path):
    tasks = write(tmp_path, part=True)
    answer(tasks, "task-00000", np.ones((20, 30), np.uint8))
    tasks.replace("tasks/task-00000.region.png", b"damaged")
    (png,) = collect(tasks, part=True).table.column("mask").to_pylist()
    assert decode_mask(png).tolist() == np.where(np.broadcast_to(CORNER, (20, 30)), 1, 255).tolist()


def test_what_is_left_out_moves_no_number(tmp_path):
    tasks = write(tmp_path, leave_out={("i0", 1)})
    assert [task["name"] for task in json.loads(tasks.read("tasks/tasks.json"))["tasks"]] == [
        "task-00001",
        "task-00002",
    ]
    good(tasks, "task-00001")
    assert collect(tasks).table.column("image_id").to_pylist() == ["i1"]

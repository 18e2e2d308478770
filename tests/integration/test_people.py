"""Runs that people label, in this process; where possible they end before anything is trained."""

import copy
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.run_reading import labels_of, state_of
from helpers.small_runs import configure
from PIL import Image

from ray_al.cli import main
from ray_al.core.errors import RayALError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets.compose import decode_mask
from ray_al.driver.answers import ignored_answers
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.receiving import check_cost
from ray_al.driver.settings import change_settings
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, Query
from ray_al.ledger.records import QueryClosed

TINY = {"name": "helpers.training:tiny"}
FIRST = "cycles/0000/tasks"


def tasks_of(run_dir):
    return json.loads(Storage(run_dir).read(f"{FIRST}/tasks.json"))["tasks"]


def ids_of(task, seed=0):
    """Random class ids for a task's box."""
    top, left, bottom, right = task["box"]
    return np.random.default_rng(seed).integers(0, 3, (bottom - top, right - left), dtype=np.uint8)


def put(run_dir, name, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **{"format": "PNG", **options})
    Storage(run_dir).replace(f"{FIRST}/{name}", buffer.getvalue())


def waiting(root, **changes):
    label = {"annotator": {"kind": "files", "margin": 4}, **changes.pop("label", {})}
    run_dir = create_run(
        configure(
            root, label=label, **{"budget": {"start": 4, "per_cycle": 4, "amount": 8}, **changes}
        ),
        str(root / "run"),
    )
    assert run_loop(run_dir).kind == "waiting"
    return run_dir


def test_resume_says_what_was_refused_and_takes_the_good_ones(root):
    run_dir = waiting(root)
    tasks = tasks_of(run_dir)
    put(run_dir, tasks[0]["answer"], Image.fromarray(ids_of(tasks[0])).convert("RGB"))
    put(run_dir, tasks[1]["answer"], Image.fromarray(ids_of(tasks[1])), format="JPEG")
    put(run_dir, tasks[2]["answer"], Image.fromarray(ids_of(tasks[2])))
    Storage(run_dir).replace(f"{FIRST}/{tasks[3]['answer']}", b"\x89PNG\r\n\x1a\n\x00")
    result = CliRunner().invoke(main, ["resume", run_dir])
    assert result.exit_code == 4
    for words in ("mode RGB", "a JPEG file", "the PNG file is cut off"):
        assert (
            sum(
                line.startswith("refused train/") and words in line
                for line in result.output.splitlines()
            )
            == 1
        )
    (label,) = labels_of(run_dir)
    assert label["image_id"] == tasks[2]["image_id"]
    assert decode_mask(label["mask"]).tolist() == ids_of(tasks[2]).tolist()
    assert verify(run_dir)["labelled_regions"] == 1
    facts = json.loads(CliRunner().invoke(main, ["resume", run_dir, "--json"]).stdout)
    assert (facts["outcome"], len(facts["refused"]), facts["ignored_answers"]) == ("waiting", 3, [])


def move_box(tasks):
    tasks[0]["box"] = tasks[0]["context"] = [0, 0, 1024, 1032]


def name_other_region(tasks):
    tasks[0]["region"], tasks[0]["image_id"], tasks[0]["image_index"] = 99, "../x", 77


def ask_twice(tasks):
    tasks.append(tasks[0])


def point_elsewhere(tasks):
    tasks[0]["region_mask"], tasks[0]["kind"], tasks[0]["answer"] = (
        "../../../../config.yaml",
        "dominant",
        "../../../config.yaml",
    )


def test_tasks_json_changes_nothing(root):
    run_dir = waiting(root)
    asked = tasks_of(run_dir)
    for number, change in enumerate(
        (move_box, name_other_region, ask_twice, point_elsewhere, list.clear)
    ):
        tasks = copy.deepcopy(asked)
        change(tasks)
        Storage(run_dir).replace(
            f"{FIRST}/tasks.json", json.dumps({"version": 9, "tasks": tasks}).encode()
        )
        if number < 3:
            put(run_dir, asked[number]["answer"], Image.fromarray(ids_of(asked[number])))
        assert run_loop(run_dir).kind == "waiting"
    assert [(row["image_id"], row["region"], row["box"]) for row in labels_of(run_dir)] == [
        (task["image_id"], task["region"], task["box"]) for task in asked[:3]
    ]
    verify(run_dir)


def test_answers_may_have_the_size_of_the_picture_whose_margin_has_changed_since(root):
    run_dir = waiting(root)
    for task in tasks_of(run_dir):
        with Image.open(Storage(run_dir).path(f"{FIRST}/{task['name']}.png")) as picture:
            put(run_dir, task["answer"], Image.new("L", picture.size, 2))
    change_settings(run_dir, ["label.annotator.margin=1"])
    assert run_loop(run_dir).kind == "waiting"
    query = state_of(run_dir).queries[0]
    assert (query.answered, state_of(run_dir).refused) == (4, ())
    assert {(decode_mask(row["mask"]) == 2).all() for row in labels_of(run_dir)} == {True}
    verify(run_dir)


def test_more_classes_than_pixels_are_refused_and_the_budget_holds(root):
    budget = {"unit": "clicks", "start": 4, "per_cycle": 4, "amount": 8}
    run_dir = waiting(
        root,
        regions={"kind": "pixels", "per_image": 4, "radius": 1},
        label={"kind": "classes"},
        budget=budget,
    )
    for task in tasks_of(run_dir):
        Storage(run_dir).replace(f"{FIRST}/{task['answer']}", b'["sky", "building"]')
    assert run_loop(run_dir).kind == "waiting"
    state = state_of(run_dir)
    assert (state.spent, state.reserved, len(state.refused)) == (0, 4, 4)
    assert "2 classes in a region of 1 pixel(s)" in state.refused[0].reason
    verify(run_dir)


def test_late_changed_and_second_answers_are_said_to_be_ignored(root):
    run_dir = waiting(root)
    tasks = tasks_of(run_dir)
    put(run_dir, tasks[0]["answer"], Image.fromarray(ids_of(tasks[0])))
    put(run_dir, "task-00000.mask (2).png", Image.fromarray(ids_of(tasks[0], 1)))
    put(run_dir, "anna-task-00001.mask.png", Image.fromarray(ids_of(tasks[1])))
    put(run_dir, "task-00001.mask.tif", Image.fromarray(ids_of(tasks[1])), format="TIFF")
    put(run_dir, "task-00077.mask.png", Image.fromarray(ids_of(tasks[1])))
    put(run_dir, "task-00002_mask.png", Image.fromarray(ids_of(tasks[2])))
    put(run_dir, "task-00002.\udcff\x1b.png", Image.fromarray(ids_of(tasks[2])))
    Storage(run_dir).replace(f"{FIRST}/task-00000.xcf", b"a project of a paint program")
    assert run_loop(run_dir).kind == "waiting"
    storage = Storage(run_dir)
    said = ignored_answers(storage)
    names = {
        "anna-task-00001.mask.png": 1,
        "task-00000.mask (2).png": 0,
        "task-00001.mask.tif": 1,
        r"'task-00002.\udcff\x1b.png'": 2,
        "task-00002_mask.png": 2,
    }
    many = "if several people answered, let them agree on one"
    assert said[:-1] == [
        f"{storage.uri(FIRST)}/{name}: is not read; "
        f"the one answer to this task is task-0000{task}.mask.png; {many}"
        for name, task in names.items()
    ]
    assert said[-1].endswith("77.mask.png: is not read; answers are named like task-00000.mask.png")
    Journal(storage).append(QueryClosed(cycle=-1, num_unanswered=3, refunded=3))
    put(run_dir, tasks[0]["answer"], Image.fromarray(ids_of(tasks[0], 1)))
    put(run_dir, tasks[3]["answer"], Image.fromarray(ids_of(tasks[3])))
    said = ignored_answers(storage)
    assert len(said) == len(names) + 3
    assert "task-00000.mask.png: was changed after it had been taken in" in said[-2]
    assert "task-00003.mask.png: came after its query was closed" in said[-1]


def test_a_query_without_a_usable_mask_stops_the_run_until_they_are_mended(root):
    folder = root / "data" / "trainannot"
    good = {path: path.read_bytes() for path in folder.iterdir()}
    run_dir = create_run(
        configure(root, model=TINY, budget={"start": 4, "per_cycle": 4, "amount": 4}),
        str(root / "run"),
    )
    for path in good:
        Image.open(io.BytesIO(good[path])).resize((64, 48), 0).save(path)
    with pytest.raises(
        RayALError,
        match=(
            "cycle 0: not one of the 4 queried regions has a mask that can be used; mend the "
            "masks.*48x64"
        ),
    ):
        run_loop(run_dir)
    assert not state_of(run_dir).refused
    for path, data in good.items():
        path.write_bytes(data)
    assert run_loop(run_dir).kind == "finished"
    assert verify(run_dir)["labelled_regions"] == 4


def test_the_end_of_a_run_lists_refused_masks_and_classes_without_labels(root):
    folder = root / "data" / "trainannot"
    config = configure(root, model=TINY, budget={"start": 31, "per_cycle": 1, "amount": 31})
    run_dir = create_run(config, str(root / "run"))
    for number, path in enumerate(sorted(folder.iterdir())):
        ids = np.array(Image.open(path))
        Image.fromarray(
            np.where(ids == 5, 0, ids).astype(np.uint8) if number else np.full_like(ids, 77)
        ).save(path)
    result = CliRunner().invoke(main, ["resume", run_dir])
    assert result.exit_code == 0
    assert (
        sum(
            line.startswith("refused train/") and "id 77" in line
            for line in result.output.splitlines()
        )
        >= 3
    )
    name = state_of(run_dir).created.class_names[5]
    assert f"no label so far of: {name}" in result.output
    assert f"No label so far of: {name}" in (root / "run" / "report.html").read_text()


def test_labels_that_cost_more_than_was_reserved_are_never_recorded():
    query = Query(
        cycle=0, file=FileRef(path="q", size=0, sha256=""), num_regions=2, cost=4, received_cost=1
    )
    check_cost(query, 3, "clicks")
    with pytest.raises(RayALError, match="cost 4 clicks, 3 were left"):
        check_cost(query, 4, "clicks")

"""Whole runs whose validation images people label first, in this process."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import invoke
from helpers.people import answer, tasks_of, truth_of, validating, write_masks, write_pool
from helpers.run_reading import events_of, state_of
from PIL import Image

import ray_al
from ray_al.compare.runs import read_run
from ray_al.core.errors import ConfigError, RayALError, VerifyError
from ray_al.core.storage import Storage
from ray_al.datasets.compose import decode_mask
from ray_al.driver.create import create_run
from ray_al.driver.final import train_final
from ray_al.driver.fork import fork_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.ledger import Ledger
from ray_al.report.rows import curve_rows

TASKS = "validation/tasks"


@pytest.fixture
def pool(tmp_path):
    write_pool(tmp_path)
    return tmp_path


def begun(root, name="run", **changes):
    run_dir = create_run(validating(root, **changes), str(root / name))
    assert run_loop(run_dir).kind == "waiting"
    return run_dir


def finished(run_dir):
    """Answer whatever the run asks until it ends; return its state."""
    answer(run_dir)
    while (outcome := run_loop(run_dir)).kind == "waiting":
        verify(run_dir)
        answer(run_dir, outcome.detail.removeprefix(f"{run_dir}/"))
    verify(run_dir)
    return state_of(run_dir)


def put(run_dir, task, image, **options):
    image.save(Path(run_dir) / TASKS / task["answer"], **{"format": "PNG", **options})


def told_by(*words):
    result = invoke(*words)
    return result.exit_code, result.output


def test_people_label_the_validation_images_first(pool):
    run_dir = begun(pool)
    assert not state_of(run_dir).queries and not state_of(run_dir).trained
    tasks = tasks_of(run_dir)
    assert len(tasks) > 2
    assert {task["kind"] for task in tasks} == {"dense"}
    assert all(task["box"] == [0, 0, 24, 32] for task in tasks)
    answer(run_dir, most=1)
    code, text = told_by("resume", run_dir)
    assert code == 4
    assert f"1 of {len(tasks)} images labelled by people, {len(tasks) - 1} missing" in text
    assert f"put the answers into {run_dir}/{TASKS}" in text
    assert "missing" in told_by("status", run_dir)[1]
    verify(run_dir)
    state = finished(run_dir)
    validated = state.validation
    assert (validated.answered, validated.missing) == (len(tasks), 0)
    for mask in validated.closed.masks:
        stored = decode_mask(Storage(run_dir).read_ref(mask.file))
        assert np.array_equal(stored, truth_of(mask.image_id))
    counts = sum(np.bincount(truth_of(task["image_id"]).ravel()) for task in tasks)
    assert list(validated.closed.class_pixels) == counts.tolist()
    labels = ray_al.open_run(run_dir).validation_labels
    assert sorted(labels["image_id"].to_pylist()) == sorted(task["image_id"] for task in tasks)
    assert f'"num_images": {len(tasks)}' in told_by("log", run_dir)[1].partition("_closed")[2]
    assert state.spent == 8 and state.labelled_regions == 8
    assert [model.val.num_images for model in state.cycles] == [len(tasks)] * 2


@pytest.mark.slow
def test_the_curve_is_that_of_masks_in_the_data_set(pool):
    by_people = begun(pool)
    asked = [task["image_id"] for task in tasks_of(by_people)]
    curve = curve_rows(finished(by_people))
    # As the guide says; for the run that has begun it changes nothing.
    (pool / "data/masks/train").mkdir(parents=True)
    for row in ray_al.open_run(by_people).validation_labels.to_pylist():
        (pool / "data/masks/train" / Path(row["image_id"]).name).write_bytes(row["mask"])
    final = invoke("final", by_people, "--json")
    assert json.loads(final.stdout)["metrics"]["val"]["num_images"] == len(asked)
    read = create_run(validating(pool), str(pool / "read"))
    assert state_of(read).validation is None
    assert (run := run_loop(read)).kind == "waiting"
    while run.kind == "waiting":
        answer(read, run.detail.removeprefix(f"{read}/"))
        run = run_loop(read)
    again = curve_rows(state_of(read))
    for key in ("miou", "pixel_accuracy", "iou_grass", "cost"):
        assert [row[key] for row in again] == [row[key] for row in curve]
    assert read_run(read).validation != read_run(by_people).validation


@pytest.mark.slow
def test_masks_that_exist_are_read_and_people_asked_for_the_others(pool):
    every = [task["image_id"] for task in tasks_of(begun(pool, "first"))]
    write_masks(pool, every[:1])
    run_dir = begun(pool)
    assert [task["image_id"] for task in tasks_of(run_dir)] == every[1:]
    state = finished(run_dir)
    assert state.last_trained.val.num_images == len(every)


def test_answers_are_checked_like_those_to_queries(pool):
    run_dir = begun(pool)
    tasks = tasks_of(run_dir)
    truth = truth_of(tasks[0]["image_id"])
    wrong = {
        "only 0 and 255": (Image.fromarray(np.where(truth == 1, 255, 0).astype(np.uint8)), {}),
        "a JPEG file": (Image.fromarray(truth), {"format": "JPEG"}),
        "pixels; ids are 0 to 2": (Image.fromarray(truth + np.uint8(5)), {}),
        "expected 24x32": (Image.fromarray(truth[:20]), {}),
        "mode RGB": (Image.fromarray(np.stack([truth + 9] * 3, 2)), {}),
    }
    assert len(tasks) == len(wrong)
    for task, (image, options) in zip(tasks, wrong.values(), strict=True):
        put(run_dir, task, image, **options)
    (Path(run_dir) / TASKS / "task-00077.mask.png").write_bytes(b"x")
    code, text = told_by("resume", run_dir)
    assert code == 4 and "Traceback" not in text
    for task, words in zip(tasks, wrong, strict=True):
        said = f"refused validation image {task['image_id']}: "
        assert sum(said in line and words in line for line in text.splitlines()) == 1
    verify(run_dir)
    assert "task-00077.mask.png: is not read" in text
    state = finished(run_dir)
    assert state.validation.answered == len(tasks) and not state.validation.refused
    put(run_dir, tasks[0], Image.fromarray(truth[::-1].copy()))
    assert "was changed after it had been taken in" in told_by("resume", run_dir)[1]


def test_images_of_which_nothing_can_be_said_leave_the_set(pool):
    run_dir = begun(pool)
    tasks = tasks_of(run_dir)
    answer(run_dir)
    put(run_dir, tasks[0], Image.fromarray(np.full((24, 32), 255, np.uint8)))
    half = truth_of(tasks[1]["image_id"])
    half[:12] = 255
    put(run_dir, tasks[1], Image.fromarray(half))
    code, text = told_by("resume", run_dir)
    assert code == 4 and f"left out validation image {tasks[0]['image_id']}" in text
    state = state_of(run_dir)
    assert (state.validation.answered, state.validation.left_out) == (len(tasks) - 1, 1)
    counts = sum(state.validation.closed.class_pixels)
    assert counts == 24 * 32 * (len(tasks) - 1) - 12 * 32
    state = finished(run_dir)
    assert state.last_trained.val.num_images == len(tasks) - 1
    page = Path(ray_al.open_run(run_dir).write_report()).read_text()
    assert "1 left out" in page and "which the budget does not pay for" in page


def test_a_set_without_any_label_is_refused_and_can_be_corrected(pool):
    run_dir = begun(pool)
    for task in tasks_of(run_dir):
        put(run_dir, task, Image.fromarray(np.full((24, 32), 255, np.uint8)))
    before = len(events_of(run_dir, "validation_received"))
    with pytest.raises(RayALError, match="would leave the validation set"):
        run_loop(run_dir)
    assert len(events_of(run_dir, "validation_received")) == before
    verify(run_dir)
    assert finished(run_dir).validation.left_out == 0


def test_the_share_of_answers_holds_for_validation_images_too(pool):
    run_dir = begun(pool, label={"annotator": {"kind": "files", "share": 0.5}})
    tasks = tasks_of(run_dir)
    answer(run_dir, most=(len(tasks) + 1) // 2)
    run_loop(run_dir)
    state = state_of(run_dir)
    assert state.validation.closed.num_unanswered == len(tasks) // 2
    answer(run_dir)
    assert "came after its query was closed" in told_by("resume", run_dir)[1]
    assert state_of(run_dir).validation == state.validation
    assert state.queries


class Died(Exception):
    """Stands for the end of a host."""


@pytest.mark.parametrize(
    "kind", ["validation_requested", "validation_received", "validation_closed"]
)
def test_a_host_may_die_before_each_step_is_recorded(pool, kind, monkeypatch):
    run_dir = create_run(validating(pool), str(pool / "run"))
    append = Ledger.append

    def dies(self, record):
        if record.kind == kind and getattr(record, "num_images", 1):
            raise Died
        append(self, record)

    if kind != "validation_requested":
        run_loop(run_dir)
        answer(run_dir)
    monkeypatch.setattr(Ledger, "append", dies)
    with pytest.raises(Died):
        run_loop(run_dir)
    monkeypatch.undo()
    verify(run_dir)
    assert run_loop(run_dir).kind == "waiting"
    state = finished(run_dir)
    assert len(events_of(run_dir, kind)) == (2 if kind == "validation_received" else 1)
    assert state.validation.answered == len(tasks_of(run_dir))


@pytest.mark.slow
def test_a_fork_has_the_masks(pool):
    source = begun(pool)
    finished(source)
    root = fork_run(source, validating(pool), str(pool / "fork"))
    verify(root)
    assert state_of(root).validation == state_of(source).validation
    shutil.rmtree(source)
    run_loop(root)
    verify(root)
    code, text = told_by("report", root)
    assert code == 0, text


@pytest.mark.slow
def test_the_data_may_move_if_the_images_are_the_same(pool):
    run_dir = begun(pool)
    name = tasks_of(run_dir)[0]["image_id"]
    shutil.move(pool / "data", pool / "moved")
    Image.fromarray(np.zeros((30, 32, 3), np.uint8)).save(pool / "moved" / name)
    setting = f"data.root={pool / 'moved'}"
    code, text = told_by("resume", run_dir, "--set", setting)
    assert code == 2 and f"validation image {name} had 24x32 pixels" in text
    write_pool(pool)
    shutil.copy(pool / "data" / name, pool / "moved" / name)
    shutil.rmtree(pool / "data")
    assert told_by("resume", run_dir, "--set", setting)[0] == 4
    finished(run_dir)


@pytest.mark.slow
def test_new_images_join_the_pool_and_new_classes_are_refused(pool):
    run_dir = begun(pool)
    number = len(tasks_of(run_dir))
    answer(run_dir)
    run_loop(run_dir)
    write_pool(pool, range(12, 24))
    code, text = told_by("extend", run_dir)
    assert code == 0 and "images added: 12" in text
    code, text = told_by("extend", run_dir, "--add-class", "kerb")
    assert code == 2 and f"people labelled {number} validation images without this class" in text
    state = finished(run_dir)
    assert state.last_trained.val.num_images == number


@pytest.mark.slow
def test_damaged_labels_and_masks_are_found(pool):
    run_dir = begun(pool)
    state = finished(run_dir)
    known = state.validation
    for path in (known.closed.masks[0].file.path, known.parts[0].path):
        data = Storage(run_dir).read(path)
        Storage(run_dir).replace(path, data[:-1] + b"x")
        with pytest.raises(VerifyError, match=path):
            verify(run_dir)
        Storage(run_dir).replace(path, data)
    verify(run_dir)
    Storage(run_dir).replace("validation/manifest.parquet", b"x")
    with pytest.raises(ConfigError, match="is damaged"):
        ray_al.open_run(run_dir).write_report()


def test_an_image_that_is_gone_when_people_are_asked_is_left_out(pool, monkeypatch):
    run_dir = create_run(validating(pool), str(pool / "run"))
    rows = ray_al.open_run(run_dir).storage.read("validation/manifest.parquet")
    assert rows
    state = state_of(run_dir)
    broken = sorted((pool / "data/images/train").iterdir())
    kept = {path: path.read_bytes() for path in broken}
    for path in broken:
        path.write_bytes(b"no image")
    with pytest.raises(RayALError, match="not one of the"):
        run_loop(run_dir)
    for path, data in kept.items():
        path.write_bytes(data)
    first = begun(pool, "other")
    name = tasks_of(first)[0]["image_id"]
    (pool / "data" / name).write_bytes(b"no image")
    assert run_loop(run_dir).kind == "waiting"
    assert len(tasks_of(run_dir)) == state.validation.num_images - 1
    assert state_of(run_dir).validation.refused[0].image_id == name
    verify(run_dir)


@pytest.mark.parametrize(
    ("label", "regions"),
    [
        ({"kind": "classes"}, {"rows": 2, "columns": 2}),
        ({"kind": "dominant"}, {"kind": "superpixels", "count": 4}),
        ({}, {"kind": "pixels", "per_image": 4, "radius": 1}),
        ({}, {"kind": "image"}),
    ],
)
def test_masks_are_asked_for_with_every_label_and_region_kind(pool, label, regions):
    budget = {"start": 2, "per_cycle": 2, "amount": 4}
    run_dir = begun(pool, label=label, regions=regions, budget=budget)
    tasks = tasks_of(run_dir)
    assert {(task["kind"], task["answer"][-9:]) for task in tasks} == {("dense", ".mask.png")}
    answer(run_dir)
    assert run_loop(run_dir).kind == "waiting"
    assert state_of(run_dir).validation.closed and state_of(run_dir).queries
    verify(run_dir)


@pytest.mark.slow
def test_tiles_are_labelled_one_by_one(pool):
    run_dir = begun(pool, data={"image_size": [16, 16], "tile": [16, 16], "tile_overlap": 4})
    tasks = tasks_of(run_dir)
    names = {task["image_id"].partition("#")[0] for task in tasks}
    assert len(tasks) > len(names)
    for task in tasks:
        top, left, bottom, right = task["box"]
        assert (top, left) == (0, 0)
        Image.fromarray(np.zeros((bottom, right), np.uint8)).save(
            Path(run_dir) / TASKS / task["answer"]
        )
    assert run_loop(run_dir).kind == "waiting"
    for task in tasks_of(run_dir, "cycles/0000/tasks"):
        top, left, bottom, right = task["box"]
        Image.fromarray(np.zeros((bottom - top, right - left), np.uint8)).save(
            Path(run_dir) / "cycles/0000/tasks" / task["answer"]
        )
    run_loop(run_dir)
    state = state_of(run_dir)
    assert state.cycles[0].val.num_images == len(names)
    assert state.validation.closed.class_pixels == (24 * 32 * len(names), 0, 0)
    verify(run_dir)
    assert "no validation label by people of: road, grass" in told_by("status", run_dir)[1]


@pytest.mark.slow
def test_best_weights_and_measured_models_are_found_by_the_masks(pool):
    run_dir = begun(
        pool,
        train={"keep": "best", "evaluate_every": 1},
        final={"budgets": [4]},
    )
    number = len(tasks_of(run_dir))
    state = finished(run_dir)
    assert state.cycles[0].kept_step in (1, 2)
    assert state.repeats[0][0].val.num_images == number


def test_final_models_wait_for_the_masks(pool):
    run_dir = begun(pool)
    with pytest.raises(ConfigError, match="validation images are not labelled yet"):
        train_final(run_dir, "upper_bound", progress=lambda *_: None, should_stop=lambda: False)


def test_an_annotator_that_gives_no_mask_ends_the_run_with_the_reason(pool):
    config = validating(pool, label={"annotator": "helpers.people:Absent"})
    run_dir = create_run(config, str(pool / "run"))
    with pytest.raises(RayALError, match="it gave none of the 5 masks of validation images"):
        run_loop(run_dir)
    verify(run_dir)


def test_an_annotator_of_your_own_may_answer_at_once(pool):
    config = validating(pool, label={"annotator": "helpers.people:Colleague"})
    run_dir = create_run(config, str(pool / "run"))
    assert run_loop(run_dir).kind == "finished"
    verify(run_dir)
    state = state_of(run_dir)
    number = state.validation.num_images
    assert state.last_trained.val.num_images == state.validation.answered == number
    text = told_by("status", run_dir)[1]
    assert f"clicks and {number / 2:.1f} minutes, which the budget does not pay for" in text


def test_classes_that_come_before_the_first_answer_are_announced(pool):
    run_dir = begun(pool)
    code, text = told_by("extend", run_dir, "--add-class", "kerb", "--rename-class", "sky=air")
    assert code == 0, text
    assert run_loop(run_dir).kind == "waiting"
    listed = json.loads(Storage(run_dir).read(f"{TASKS}/tasks.json"))["classes"]
    assert [one["name"] for one in listed] == ["air", "road", "grass", "kerb"]
    answer(run_dir)
    assert run_loop(run_dir).kind == "waiting"
    verify(run_dir)
    assert len(state_of(run_dir).validation.closed.class_pixels) == 4
    assert "no validation label by people of: kerb" in told_by("status", run_dir)[1]

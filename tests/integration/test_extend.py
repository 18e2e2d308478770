"""Extended runs: images, classes, budgets and moved data, through the command line, without Ray."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from helpers.commands import invoke
from helpers.small_runs import configure
from PIL import Image

import ray_al
from ray_al.compare.runs import read_run
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.extend import run as extending
from ray_al.driver.fork import fork_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config

TINY = {"name": "helpers.training:tiny"}
CLASSES = ["sky", "ground", "building", "tree", "car"]
DATA = {"dataset": "camvid", "class_names": CLASSES, "ignore_ids": [5], "image_size": [32, 48]}


def state_of(run):
    return fold(Journal(Storage(str(run))).events)


def go_on(run, *arguments):
    """Let a run go on to its end, after a check of everything that it has recorded."""
    verified(run)
    result = invoke("resume", run, *arguments)
    assert result.exit_code == 0, result.output
    verified(run)
    return state_of(run)


def verified(run):
    result = invoke("verify", run)
    assert result.exit_code == 0, result.output


def extend(run, *arguments):
    result = invoke("extend", run, *arguments)
    assert result.exit_code == 0, result.output
    verified(run)
    return result.output


def refused(run, *arguments, words):
    before = len(Journal(Storage(str(run))).events)
    result = invoke("extend", run, *arguments)
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.output
    assert len(Journal(Storage(str(run))).events) == before


@pytest.fixture
def later(root):
    """The names of two images that are put away, with a function that puts them back."""
    names = sorted(path.name for path in (root / "data" / "train").iterdir())[6:]
    (root / "later").mkdir()

    def move(source, target):
        for name in names:
            shutil.move(source / "train" / name, target / name)
            shutil.move(source / "trainannot" / name, target / f"mask-{name}")

    def back(data=root / "data"):
        for name in names:
            shutil.copy(root / "later" / name, data / "train" / name)
            shutil.copy(root / "later" / f"mask-{name}", data / "trainannot" / name)

    move(root / "data", root / "later")
    return names, back


@pytest.mark.slow
def test_a_run_from_existing_labels_grows_gets_a_class_and_moves(root, later):
    names, back = later
    first = sorted(path.name for path in (root / "data" / "train").iterdir())[:2]
    (root / "data" / "labelled.txt").write_text("".join(f"train/{name}\n" for name in first))
    rule = {"kind": "existing", "names": "labelled.txt"}
    budget = {"start_rule": rule, "per_cycle": 4, "amount": 12}
    train = {"steps": 2, "policy": "finetune"}
    config = configure(root, model=TINY, data=DATA, budget=budget, train=train)
    run = create_run(config, str(root / "run"))
    assert run_loop(run).kind == "finished"
    ended = state_of(run)
    back()
    written = extend(run, "--add-class", "sign=5", "--budget", "16", "--dry-run")
    assert "images added: 2" in written and state_of(run) == ended
    written = extend(run, "--add-class", "sign=5", "--budget", "16")
    assert "class added: sign (id 5)" in written and "images added: 2" in written
    assert extend(run).startswith("nothing to change")
    assert state_of(run).finished is None
    middle = go_on(run)
    assert middle.spent == 16 and middle.sizes.num_images == 8
    assert [len(model.val.iou) for model in middle.cycles] == [5, 5, 6]
    disk = root / "disk"
    disk.mkdir()
    shutil.move(run, disk / "run")
    shutil.move(root / "data", disk / "data")
    for name in (first[0], names[0]):
        (disk / "data" / "train" / name).unlink()
    moved = disk / "run"
    place = f"data.root={disk / 'data'}"
    extend(moved, "--set", place, "--rename-class", "car=vehicle", "--budget", "24")
    end = go_on(moved)
    assert end.spent == 24 and end.removed == {f"train/{first[0]}", f"train/{names[0]}"}
    assert end.cycles[-1].left_out.images >= 1
    for query in end.queries[-2:]:
        asked = set(read_table(Storage(str(moved)), query.file)["image_id"].to_pylist())
        assert not asked & end.removed
    curve = (moved / "curve.csv").read_text().splitlines()
    assert "iou_vehicle,iou_sign" in curve[0] and "car" not in curve[0]
    assert "images added: 2" in invoke("status", moved).output
    assert "run_extended" in invoke("log", moved).output
    assert invoke("report", moved).exit_code == 0
    page = (moved / "report.html").read_text()
    assert "before cycle 3: class renamed: car is now vehicle" in page
    assert invoke("replay", moved).exit_code == 0
    compared = invoke("compare", moved, "--out", root / "compared")
    assert compared.exit_code == 0, compared.output
    result = read_run(str(moved))
    shares, _ = result.curve("share")
    costs = [row["cost"] for row in result.rows]  # shares of the pool that the run began with
    assert shares.tolist() == [cost / end.created.num_regions for cost in costs]
    assert result.pool not in (end.created.images, end.extensions[0].images)


@pytest.fixture
def waiting(root, later):
    config = configure(root, model=TINY, data=DATA, label={"annotator": "files"})
    run = create_run(config, str(root / "run"))
    assert run_loop(run).kind == "waiting"
    return run


def test_earlier_rows_and_numbers_stay_and_a_kill_loses_nothing(root, later, waiting, monkeypatch):
    before, storage = state_of(waiting), Storage(waiting)
    known = read_table(storage, before.created.manifest)
    later[1]()

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        ray_al.extend(waiting)
    monkeypatch.undo()
    assert state_of(waiting) == before
    verified(waiting)
    monkeypatch.setattr(extending, "settle_config", dies)
    with pytest.raises(KeyboardInterrupt):
        ray_al.extend(waiting, add_classes=["sign=5"], budget=14)
    monkeypatch.undo()
    assert read_config(storage).budget.amount == 14
    verified(waiting)
    assert invoke("resume", waiting).exit_code == 4
    now = state_of(waiting)
    manifest = read_table(storage, now.created.manifest)
    assert manifest.slice(0, len(known)) == known and len(manifest) == 8
    assert manifest["image_index"].to_pylist() == list(range(8))
    assert now.amount == 14 and now.created.sizes == before.created.sizes
    tasks = json.loads(storage.read(f"{now.queries[-1].tasks}/tasks.json"))
    assert [one["name"] for one in tasks["classes"]] == [*CLASSES, "sign"]


def test_open_tasks_of_removed_images_are_not_waited_for(root, waiting):
    query = state_of(waiting).queries[-1]
    table = read_table(Storage(waiting), query.file)
    gone = table["image_id"][0].as_py()
    num = table["image_id"].to_pylist().count(gone)
    (root / "data" / gone).rename(root / "kept.png")
    assert f"regions that need no answer any more: {num}" in extend(waiting)
    state = state_of(waiting)
    assert len(state.queries[-1].refused) == num and len(state.refused) == num
    folder = state.queries[-1].tasks
    for task in json.loads(Storage(waiting).read(f"{folder}/tasks.json"))["tasks"]:
        if task["image_id"] == gone:  # answered all the same, while the others are awaited
            top, left, bottom, right = task["box"]
            mask = Image.fromarray(np.zeros((bottom - top, right - left), dtype=np.uint8))
            mask.save(Storage(waiting).path(f"{folder}/{task['answer']}"))
    assert num < len(table) and invoke("resume", waiting).exit_code == 4
    state = state_of(waiting)
    assert (state.queries[-1].answered, state.queries[-1].refused) == (num, frozenset())
    assert not state.queries[-1].closed
    (root / "kept.png").rename(root / "data" / gone)
    assert "images back in the pool: 1" in extend(waiting)
    assert not state_of(waiting).removed


def test_answers_may_have_the_new_class(root, waiting):
    extend(waiting, "--add-class", "sign=5")
    storage = Storage(waiting)
    folder = state_of(waiting).queries[-1].tasks
    for task in json.loads(storage.read(f"{folder}/tasks.json"))["tasks"]:
        top, left, bottom, right = task["box"]
        mask = Image.fromarray(np.full((bottom - top, right - left), 5, dtype=np.uint8))
        mask.save(storage.path(f"{folder}/{task['answer']}"))
    assert invoke("resume", waiting).exit_code == 4
    state = state_of(waiting)
    assert state.cycles[-1].class_pixels[5] > 0 and state.only_class == "sign"
    verified(waiting)
    with pytest.raises(ConfigError, match="was extended before its first model was trained"):
        fork_run(waiting, read_config(storage), str(root / "fork"))


def test_wrong_use_is_refused_and_writes_nothing(root, waiting):
    run = waiting
    refused(run, "--budget", "3", words=["--budget: 3 regions are less than", "at least 4"])
    refused(run, "--budget", "99", words=["99 regions are more than the pool's 24"])
    refused(run, "--add-class", "car", words=["two classes 'car'"])
    refused(run, "--add-class", "sign", words=["--add-class sign=VALUE"])
    refused(run, "--add-class", "sign=2", words=["means 'building' already"])
    refused(run, "--add-class", "sign=blue", words=["neither an id nor a colour"])
    refused(run, "--rename-class", "lorry=car", words=["'lorry' is no class of this run"])
    refused(run, "--rename-class", "car", words=["expected OLD=NEW"])
    refused(run, "--set", "train.steps=9", words=["train.steps: cannot change"])
    both = ("--budget", "20", "--set", "budget.amount=16")
    refused(run, *both, words=["--set budget.amount: cannot change"])
    refused(run, "--set", f"data.root={root}/nowhere", words=["no such folder"])
    other = root / "other"
    shutil.copytree(root / "data", other)
    for path in sorted((other / "train").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    refused(run, "--set", f"data.root={other}", words=["none of the 6 images", "--set data.root="])
    assert invoke("resume", run, "--set", "budget.amount=20").exit_code == 2


def test_superpixels_of_new_images_are_computed_and_old_ones_stay(root, later):
    regions = {"kind": "superpixels", "count": 6}
    scoring = {"shard_size": 4}
    config = configure(root, model=TINY, data=DATA, regions=regions, scoring=scoring)
    run = create_run(config, str(root / "run"))
    assert run_loop(run).kind == "finished"
    before, storage = state_of(run), Storage(run)
    known = read_table(storage, before.created.manifest)
    maps = {row["image_index"]: row["map"] for row in _maps(storage, before)}
    later[1]()
    extend(run, "--budget", "16")
    after = go_on(run)
    assert after.spent == 16 and after.sizes.num_regions > before.sizes.num_regions
    manifest = read_table(storage, after.created.manifest)
    assert manifest.slice(0, len(known)) == known
    now = {row["image_index"]: row["map"] for row in _maps(storage, after)}
    assert {index: now[index] for index in maps} == maps and len(now) == 8


def _maps(storage, state):
    tables = [read_table(storage, ref) for ref in state.map_parts.values() if ref]
    return pa.concat_tables(tables).to_pylist()

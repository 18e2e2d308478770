"""Whole runs in this process over pools whose images break, vanish, change and come back."""

import builtins
import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import small_runs
from helpers.records import record
from helpers.run_reading import events_of, queries, state_of
from PIL import Image

from ray_al.cli import main
from ray_al.core.config import parse_config
from ray_al.core.errors import RayALError, ReadError, VerifyError
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.final import train_final
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.settings import change_settings
from ray_al.driver.verify import verify
from ray_al.ledger import Journal
from ray_al.ledger.records import LeftOut

SETTINGS: dict[str, Any] = {
    # Nothing is cached, as each session were a process of its own.
    "data": {"dataset": "synthetic", "image_size": [32, 48], "cache_gb": 0},
    "model": {"name": "helpers.networks:normalised"},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 5, "batch_size": 2, "workers": 0, "threads": 1},
    "strategy": {"acquisition": "entropy"},
    "scoring": {**small_runs.SETTINGS["scoring"], "max_quarantined": 0.3},
    "budget": {"start": 6, "per_cycle": 4, "amount": 14},
    "cluster": {"host": "process"},
    "report": {"num_images": 1},
}
CUT = 800


@pytest.fixture
def root(tmp_path):
    write_synthetic(str(tmp_path / "data"), num_images=10, seed=0)
    return tmp_path


def configure(root, **changes):
    return parse_config(small_runs.changed(SETTINGS, root, changes), source="test")


def make(root, name="run", **changes) -> str:
    return create_run(configure(root, **changes), str(root / name))


def start_images(run_dir) -> list[str]:
    return (
        read_table(Storage(run_dir), state_of(run_dir).queries[0].file)
        .column("image_id")
        .to_pylist()
    )


def until_trained(run_dir, cycles=1) -> None:
    assert (
        run_loop(run_dir, should_stop=lambda: len(state_of(run_dir).trained) >= cycles).kind
        == "interrupted"
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:CUT])


def resize(path: Path) -> None:
    Image.open(path).resize((64, 48)).save(path)


HARM: dict[str, Any] = {
    "broken": (cut, "cannot be read as an image"),
    "missing": (Path.unlink, "the file is missing; put it back"),
    "resized": (resize, "48x64 pixels, 96x128 when the run was made"),
}


@pytest.mark.parametrize("harm", HARM)
def test_an_image_that_breaks_after_it_was_labelled_is_left_out_and_said_and_comes_back(root, harm):
    run_dir = make(root)
    until_trained(run_dir)
    image_id = start_images(run_dir)[0]
    path = root / "data" / image_id
    whole = path.read_bytes()
    HARM[harm][0](path)
    # Its labels are in the training of cycle 1, whose end is waited for.
    until_trained(run_dir, 2)
    state = state_of(run_dir)
    assert list(state.quarantined) == [image_id]
    assert HARM[harm][1] in state.quarantined[image_id]
    lost = start_images(run_dir).count(image_id)
    assert state.trained[1].left_out == LeftOut(images=1, regions=lost)
    assert state.trained[1].num_images == state.trained[1].labelled.images - 1
    output = CliRunner().invoke(main, ["status", run_dir]).output
    assert (
        f"left out: 1 of 10 pool images, which cannot be used; with them {lost} labelled region(s)"
        in output
    )
    log = CliRunner().invoke(main, ["log", run_dir]).output
    assert f'images_quarantined   {{"images": ["{image_id}"]}}' in log
    assert f'"left_out": {{"images": 1, "regions": {lost}}}' in log
    path.write_bytes(whole)
    result = CliRunner().invoke(main, ["resume", run_dir])
    assert result.exit_code == 0, result.output
    assert f"back in the pool: 1 image(s) that were mended: {image_id}" in result.output
    state = state_of(run_dir)
    assert (dict(state.quarantined), events_of(run_dir, "images_restored")) == (
        {},
        [{"images": [image_id]}],
    )
    assert state.trained[2].left_out == LeftOut(images=0, regions=0)
    assert state.trained[2].num_images == state.trained[2].labelled.images
    verify(run_dir)


def test_the_report_and_the_end_of_a_run_say_what_was_left_out(root):
    run_dir = make(root)
    until_trained(run_dir)
    followed = start_images(run_dir)
    image_id = min(followed, key=lambda name: (-followed.count(name), name))
    cut(root / "data" / image_id)
    result = CliRunner().invoke(main, ["resume", run_dir])
    assert result.exit_code == 0, result.output
    assert "left out: 1 of 10 pool images" in result.output
    page = (root / "run" / "report.html").read_text()
    assert f"{followed.count(image_id)} labelled regions of it are not trained on" in page
    trained = train_final(
        run_dir, "final", progress=lambda done, total: None, should_stop=lambda: False
    )
    assert trained.left_out == 1


def test_the_final_model_leaves_out_what_breaks_after_the_run(root):
    run_dir = make(root)
    run_loop(run_dir)
    cut(root / "data" / start_images(run_dir)[0])
    before = len(Journal(Storage(run_dir)).events)
    result = train_final(
        run_dir, "final", progress=lambda done, total: None, should_stop=lambda: False
    )
    assert result.left_out == 1
    assert result.num_images == state_of(run_dir).trained[2].num_images - 1
    assert len(Journal(Storage(run_dir)).events) == before
    for name in {*start_images(run_dir)} - {start_images(run_dir)[0]}:
        cut(root / "data" / name)
    with pytest.raises(RayALError, match=r"max_quarantined=0\.3"):
        train_final(run_dir, "final", progress=lambda done, total: None, should_stop=lambda: False)


def test_the_limit_holds_at_every_resume_and_both_remedies_work(root):
    run_dir = make(
        root, scoring={"max_quarantined": 0.1}, budget={"start": 4, "per_cycle": 36, "amount": 40}
    )
    until_trained(run_dir)
    paths = [
        path
        for path in sorted((root / "data" / "train").glob("*.png"))
        if f"train/{path.name}" not in start_images(run_dir)
    ][:3]
    whole = {path: path.read_bytes() for path in paths}
    for path in paths:
        cut(path)
    for _ in range(3):
        with pytest.raises(
            RayALError,
            match=(
                rf"pool images cannot be .* `ray-al resume {run_dir} --set "
                rf"scoring\.max_quarantined=0\.[23]`"
            ),
        ):
            run_loop(run_dir)
    verify(run_dir)
    copy = str(root / "raised")
    shutil.copytree(run_dir, copy)
    change_settings(copy, ["scoring.max_quarantined=0.3"])
    assert run_loop(copy).kind == "finished"
    assert state_of(copy).labelled_regions == 28
    for path, data in whole.items():
        path.write_bytes(data)
    assert run_loop(run_dir).kind == "finished"
    state = state_of(run_dir)
    assert (state.labelled_regions, state.spent, dict(state.quarantined)) == (40, 40, {})
    verify(run_dir)


def test_a_limit_is_an_exact_share(root):
    from ray_al.driver.context import check_quarantine

    config = configure(root, scoring={"max_quarantined": 0.29})
    check_quarantine(dict.fromkeys(map(str, range(29)), "cut off"), config, 100)
    with pytest.raises(
        RayALError,
        match="30 of 100 .*=0.29 allows.*--set scoring.max_quarantined=0.3.* and 10 more",
    ):
        check_quarantine(dict.fromkeys(map(str, range(30)), "cut off"), config, 100)


def test_images_smaller_than_the_grid_are_said_as_what_they_are(root):
    for number in (1, 2, 3, 4):
        for folder in ("train", "trainannot"):
            Image.new("L", (128, 1)).save(root / "data" / folder / f"0000{number}.png")
    with pytest.raises(
        RayALError,
        match=(
            "00001.png: the image of 1x128 pixels is smaller than the grid of 2x2 cells; "
            "lower regions.rows"
        ),
    ):
        make(root)
    config = root / "c.yaml"
    config.write_text(configure(root).to_yaml())
    result = CliRunner().invoke(main, ["datasets", "check", str(config), "--json"])
    assert result.exit_code == 1
    assert "the image of 1x128 pixels is smaller than the grid of 2x2 cells" in result.stdout


def answer(storage) -> None:
    """As a person would, who sees one class everywhere."""
    tasks = state_of(storage.root).queries[-1].tasks
    for task in json.loads(storage.read(f"{tasks}/tasks.json"))["tasks"]:
        top, left, bottom, right = task["box"]
        Image.new("L", (right - left, bottom - top), 1).save(
            f"{storage.root}/{tasks}/{task['answer']}"
        )


def test_people_are_not_asked_about_images_that_cannot_be_used(root):
    run_dir = make(root, label={"annotator": "files"})
    storage = Storage(run_dir)
    assert run_loop(run_dir).kind == "waiting"
    answer(storage)
    assert (
        run_loop(run_dir, should_stop=lambda: len(state_of(run_dir).queries) == 2).kind
        == "interrupted"
    )
    names = read_table(storage, state_of(run_dir).queries[1].file).column("image_id").to_pylist()
    cut(root / "data" / names[0])
    assert run_loop(run_dir).kind == "waiting"
    state = state_of(run_dir)
    assert list(state.quarantined) == [names[0]]
    asked = [
        task["image_id"]
        for task in json.loads(storage.read(f"{state.queries[1].tasks}/tasks.json"))["tasks"]
    ]
    assert sorted(asked) == sorted(name for name in names if name != names[0])
    assert len(state.queries[1].refused) == names.count(names[0])
    assert "the image is left out" in state.refused[-1].reason
    while not state.finished:
        answer(storage)
        run_loop(run_dir)
        state = state_of(run_dir)
    assert state.spent == state.labelled_regions <= 14
    verify(run_dir)


@pytest.mark.slow
def test_a_region_whose_image_is_quarantined_is_not_bought(root):
    """Of an image that breaks between two sessions, the query being open."""
    run_dir = make(root)
    assert (
        run_loop(run_dir, should_stop=lambda: len(state_of(run_dir).queries) == 2).kind
        == "interrupted"
    )
    names = (
        read_table(Storage(run_dir), state_of(run_dir).queries[1].file)
        .column("image_id")
        .to_pylist()
    )
    Journal(Storage(run_dir)).append(
        record("images_quarantined", images=[{"image_id": names[0], "error": "cut off"}])
    )
    cut(root / "data" / names[0])
    assert run_loop(run_dir).kind == "finished"
    labelled = [
        name
        for ref in state_of(run_dir).label_parts[1:]
        for name in read_table(Storage(run_dir), ref, ["image_id"]).column("image_id").to_pylist()
    ]
    assert names[0] not in labelled
    assert state_of(run_dir).spent == state_of(run_dir).labelled_regions
    verify(run_dir)


@pytest.mark.parametrize("stage", ["train", pytest.param("score", marks=pytest.mark.slow)])
def test_a_disk_that_fails_ends_the_run_and_quarantines_nothing(root, monkeypatch, stage):
    expected = make(root, "undisturbed")
    run_loop(expected)
    run_dir = make(root)
    if stage == "score":
        until_trained(run_dir)
    else:
        assert (
            run_loop(run_dir, should_stop=lambda: bool(state_of(run_dir).label_parts)).kind
            == "interrupted"
        )
    path = root / "data" / (start_images(run_dir)[0] if stage == "train" else "train/00007.png")
    real = builtins.open

    def fails(file, *arguments, **options):
        if str(file) == str(path):
            raise OSError(errno.EIO, "Input/output error")
        return real(file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", fails)
        patch.setattr("ray_al.core.reading.time.sleep", lambda seconds: None)
        with pytest.raises(ReadError, match=rf"{path.name}: could not be read.*Input/output error"):
            run_loop(run_dir)
        result = CliRunner().invoke(main, ["resume", run_dir])
        assert result.exit_code == 1
        assert "error: " in result.output and "Input/output error" in result.output
    assert not events_of(run_dir, "images_quarantined")
    assert run_loop(run_dir).kind == "finished"
    assert queries(run_dir) == queries(expected)


def test_verify_sees_what_a_ledger_says_of_images_that_cannot_be(root):
    run_dir = make(root)
    run_loop(run_dir)
    for number, (kind, data, fault) in enumerate(
        [
            (
                "images_restored",
                {"images": ["train/00001.png"]},
                "train/00001.png comes back, and was not quarantined",
            ),
            (
                "images_quarantined",
                {
                    "images": [
                        {"image_id": name, "error": "cut off"} for name in start_images(run_dir)
                    ]
                },
                "is chosen, and was",
            ),
        ]
    ):
        copy = root / f"copy-{number}"
        shutil.copytree(run_dir, copy)
        events = Journal(Storage(str(copy))).events
        for path in (copy / "journal").glob("*.json"):
            path.unlink()
        journal = Journal(Storage(str(copy)))
        for event in events:
            if event.kind == "query_selected":
                journal.append(record(kind, **data))
            journal.append(event.record)
        with pytest.raises(VerifyError, match=fault):
            verify(str(copy))


@pytest.mark.slow
def test_journals_of_before_still_fold_and_verify(root):
    """They know no images that come back, and do not say what a training left out."""
    run_dir = make(root, scoring={"max_quarantined": 0.5})
    run_loop(run_dir)
    for path in (root / "run" / "journal").glob("*.json"):
        values = json.loads(path.read_text())
        values["data"].pop("left_out", None)
        path.write_text(json.dumps(values))
    assert verify(run_dir)["labelled_regions"] == state_of(run_dir).labelled_regions > 0


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["entropy", "random"])
def test_what_breaks_is_left_out_alike_after_a_kill_at_every_event(root, strategy):
    """Two labelled images break; the run is killed at each later event and chooses the same."""
    run_dir = make(
        root,
        strategy={"acquisition": strategy},
        train={"steps": 2},
        cluster={"keep_checkpoints": 9},
    )
    until_trained(run_dir)
    for name in sorted({*start_images(run_dir)})[:2]:
        cut(root / "data" / name)
    first = len(Journal(Storage(run_dir)).events)
    assert run_loop(run_dir).kind == "finished"
    assert state_of(run_dir).quarantined
    for number in range(first, len(Journal(Storage(run_dir)).events)):
        copy = root / f"killed-{number}"
        shutil.copytree(run_dir, copy)
        for path in (copy / "journal").glob("*.json"):
            if int(path.stem) > number:
                path.unlink()
        (copy / "lease.json").unlink(missing_ok=True)
        assert run_loop(str(copy)).kind == "finished"
        assert queries(str(copy)) == queries(run_dir)
        assert state_of(str(copy)).quarantined.keys() == state_of(run_dir).quarantined.keys()
        verify(str(copy))
        shutil.rmtree(copy)


def on_ray(root, run_dir, name, *, train: int, score: int):
    """A copy of the run that goes on with so many workers."""
    copy = str(root / name)
    shutil.copytree(run_dir, copy)
    change_settings(
        copy, [f"train.workers={train}", f"scoring.workers={score}", "cluster.keep_checkpoints=9"]
    )
    return copy


@pytest.mark.slow
def test_workers_on_ray_leave_out_the_same_images(cluster, root):
    run_dir = make(root, cluster={"keep_checkpoints": 9})
    until_trained(run_dir)
    for name in sorted({*start_images(run_dir)})[:2]:
        cut(root / "data" / name)
    copies = [on_ray(root, run_dir, f"workers-{n}", train=n, score=n) for n in (0, 1, 2)]
    for copy in copies:
        assert run_loop(copy).kind == "finished"
    states = [state_of(copy) for copy in copies]
    assert states[0].quarantined == states[1].quarantined == states[2].quarantined
    assert [state.trained[1].left_out for state in states] == [states[0].trained[1].left_out] * 3
    assert queries(copies[1]) == queries(copies[0])
    assert state_of(copies[2]).spent == 14


@pytest.mark.slow
@pytest.mark.parametrize(("train", "score"), [(0, 1), (1, 0)])
def test_a_file_that_workers_cannot_read_ends_the_run_with_one_message(cluster, root, train, score):
    """No process can open a link to itself, which does not prove that nothing is there."""
    run_dir = make(root)
    until_trained(run_dir)
    copy = on_ray(root, run_dir, "copy", train=train, score=score)
    path = root / "data" / (start_images(run_dir)[0] if train else "train/00007.png")
    whole = path.read_bytes()
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(ReadError, match=rf"{path.name}: could not be read, in 5 tries \(OSError"):
        run_loop(copy)
    assert not events_of(copy, "images_quarantined")
    path.unlink()
    path.write_bytes(whole)
    assert run_loop(copy).kind == "finished"

"""Whole runs in this process, without Ray, on small synthetic scenes."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from helpers.small_runs import configure
from PIL import Image

from ray_al.cli import main
from ray_al.core.errors import RayALError, VerifyError
from ray_al.core.storage import Storage
from ray_al.datasets import masks
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify
from ray_al.label.truth import ground_truth
from ray_al.ledger import Journal, fold
from ray_al.train import trainer
from ray_al.train.trainer import LocalTrainer


def test_a_run_ends_with_its_budget_spent_and_verifies(root):
    run_dir = create_run(configure(root, strategy={"acquisition": "equal"}), str(root / "run"))
    assert run_loop(run_dir).kind == "finished"
    state = fold(Journal(Storage(run_dir)).events)
    assert (state.spent, state.reserved, sorted(state.trained)) == (12, 0, [0, 1, 2])
    assert verify(run_dir)["labelled_regions"] == 12
    assert len((root / "run" / "curve.csv").read_text().splitlines()) == 4
    assert run_loop(run_dir).kind == "finished"


class Watched(LocalTrainer):
    """Notes at which event it is started, and by which it is closed."""

    def __init__(self, config, run_uri, seen):
        super().__init__(config, run_uri)
        self.seen = seen

    def start(self):
        self.seen.append(("start", Journal(Storage(self.run_uri)).events[-1].kind))

    def close(self):
        self.seen.append(("close", Journal(Storage(self.run_uri)).events[-1].kind))
        super().close()


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, [("start", "driver_started"), ("close", "run_finished")]),
        ({"label": {"annotator": "files"}}, []),
        ({"train": {"keep_workers": False}}, [("close", "run_finished")]),
    ],
)
def test_the_group_that_trains_starts_beside_the_first_labels(root, monkeypatch, changes, seen):
    """Not where people label: it would keep its CPUs while nobody trains."""
    watched: list[Any] = []
    monkeypatch.setattr(
        trainer, "open_trainer", lambda config, uri, attempt: Watched(config, uri, watched)
    )
    run_loop(create_run(configure(root, **changes), str(root / "run")))
    assert watched == seen


def test_a_host_that_begins_with_scoring_starts_no_group(root, monkeypatch):
    watched: list[Any] = []
    monkeypatch.setattr(
        trainer, "open_trainer", lambda config, uri, attempt: Watched(config, uri, watched)
    )
    run_dir = create_run(configure(root), str(root / "run"))
    run_loop(run_dir, should_stop=lambda: bool(fold(Journal(Storage(run_dir)).events).trained))
    watched.clear()
    run_loop(run_dir)
    assert watched == [("close", "run_finished")]


def test_no_mask_of_an_unqueried_region_is_read(root, monkeypatch):
    decode, opened, asked = masks.read_decoded, set(), set()

    def watch(uri, decoder, *, box=None):
        opened.add(uri)
        return decode(uri, decoder, box=box)

    def watched_truth(manifest, regions_of, decoder):
        read = ground_truth(manifest, regions_of, decoder)

        def read_truth(image_index, region):
            asked.add((manifest.column("mask_uri")[image_index].as_py(), region))
            return read(image_index, region)

        return read_truth

    monkeypatch.setattr(masks, "read_decoded", watch)
    monkeypatch.setattr("ray_al.driver.context.ground_truth", watched_truth)
    # As few regions as leave images without a query.
    config = configure(root, budget={"start": 2, "per_cycle": 2, "amount": 4})
    run_dir = create_run(config, str(root / "run"))
    run_loop(run_dir)
    assert CliRunner().invoke(main, ["report", run_dir]).exit_code == 0
    storage = Storage(run_dir)
    queried = set()
    for query in fold(Journal(storage).events).queries:
        table = read_table(storage, query.file).to_pydict()
        queried |= {
            (f"{root}/data/trainannot/{i.split('/')[-1]}", r)
            for i, r in zip(table["image_id"], table["region"], strict=True)
        }
    assert asked == queried
    assert len(queried) == 4
    in_pool = {uri for uri in opened if "/trainannot/" in uri}
    assert in_pool == {uri for uri, _ in queried}
    assert len(in_pool) < 8


@pytest.mark.parametrize("score", ["entropy", "random"])
@pytest.mark.parametrize("number", range(0, 8, 3))
def test_a_broken_image_is_quarantined_and_the_run_ends(root, score, number):
    path = sorted((root / "data" / "train").glob("*.png"))[number]
    path.write_bytes(path.read_bytes()[:800])  # the header still reads
    config = configure(
        root,
        strategy={"acquisition": score},
        scoring={"max_quarantined": 0.2},
        budget={"start": 4, "per_cycle": 12, "amount": 28},
    )
    run_dir = create_run(config, str(root / "run"))
    assert run_loop(run_dir).kind == "finished"
    state = fold(Journal(Storage(run_dir)).events)
    assert list(state.quarantined) == [f"train/{path.name}"]
    assert state.labelled_regions == 28
    verify(run_dir)


def test_too_many_broken_images_stop_the_run_with_the_list(root):
    for path in (root / "data" / "train").glob("*.png"):
        path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(RayALError, match="max_quarantined=0.05.*train/0000"):
        run_loop(create_run(configure(root), str(root / "run")))


def test_a_wrong_pool_mask_is_refused_and_refunded(root):
    for path in (root / "data" / "trainannot").glob("00000.png"):
        Image.new("L", (128, 96), 77).save(path)
    run_dir = create_run(configure(root), str(root / "run"))
    run_loop(run_dir)
    state = fold(Journal(Storage(run_dir)).events)
    assert state.refused
    assert "id 77" in state.refused[0].reason
    assert state.spent == state.labelled_regions <= 12
    verify(run_dir)


def test_people_label_in_two_parts(root):
    shutil.move(root / "data" / "trainannot", root / "truth")
    config = configure(
        root,
        label={"annotator": {"kind": "files", "margin": 4}},
        budget={"start": 3, "per_cycle": 3, "amount": 6},
    )
    run_dir = create_run(config, str(root / "run"))
    outcome = run_loop(run_dir)
    while outcome.kind == "waiting":
        folder = (
            Storage(run_dir).root + "/" + outcome.detail.removeprefix(Storage(run_dir).root + "/")
        )
        tasks = json.loads(Path(folder, "tasks.json").read_text())["tasks"]

        def answer(task, folder=folder, value=None):
            top, left, bottom, right = task["box"]
            mask = Image.open(root / "truth" / task["image_id"].split("/")[-1]).crop(
                (left, top, right, bottom)
            )
            (Image.new("L", mask.size, value) if value else mask).save(f"{folder}/{task['answer']}")

        answer(tasks[0])
        answer(tasks[1], value=99)
        assert run_loop(run_dir).kind == "waiting"
        refused = fold(Journal(Storage(run_dir)).events).refused
        assert "id 99" in refused[-1].reason
        answer(tasks[1], value=98)
        assert run_loop(run_dir).kind == "waiting"
        (last,) = fold(Journal(Storage(run_dir)).events).refused
        assert "id 98" in last.reason
        for task in tasks[1:]:
            answer(task)
        outcome = run_loop(run_dir)
        assert not fold(Journal(Storage(run_dir)).events).refused
    assert outcome.kind == "finished"
    assert verify(run_dir)["labelled_regions"] == 6


def test_an_image_is_paid_with_its_first_label(root):
    """People answer a third; regions that cost nothing next to an unanswered one are no gift."""
    shutil.move(root / "data" / "trainannot", root / "truth")
    config = configure(
        root,
        label={"annotator": {"kind": "files", "share": 0.3}},
        regions={"rows": 3, "columns": 3},
        strategy={"acquisition": "random"},
        budget={"unit": "images", "start": 3, "per_cycle": 1, "amount": 4},
    )
    run_dir = create_run(config, str(root / "run"))
    storage = Storage(run_dir)
    while (outcome := run_loop(run_dir)).kind == "waiting":
        query = fold(Journal(storage).events).queries[-1]
        costs = {
            (row["image_id"], row["region"]): row["cost"]
            for row in read_table(storage, query.file).to_pylist()
        }
        tasks = json.loads(storage.read(f"{query.tasks}/tasks.json"))["tasks"]
        tasks.sort(key=lambda task, costs=costs: costs[task["image_id"], task["region"]])
        for task in tasks[: -(-len(tasks) * 3 // 10)]:
            top, left, bottom, right = task["box"]
            Image.open(root / "truth" / task["image_id"].split("/")[-1]).crop(
                (left, top, right, bottom)
            ).save(f"{storage.root}/{query.tasks}/{task['answer']}")
    assert outcome.kind == "finished"
    verify(run_dir)
    state = fold(Journal(storage).events)
    images = {
        row["image_id"]
        for ref in state.label_parts
        for row in read_table(storage, ref, ["image_id"]).to_pylist()
    }
    assert state.spent == len(images) <= 4


def test_a_broken_image_is_known_before_its_part_is(root):
    """Else a host that dies between the two would leave it out of the quarantine for ever."""
    path = root / "data" / "train" / "00003.png"
    path.write_bytes(path.read_bytes()[:800])
    budget = {"start": 4, "per_cycle": 4, "amount": 12, "start_rule": "scored"}
    run_dir = create_run(
        configure(root, scoring={"max_quarantined": 0.2}, budget=budget), str(root / "run")
    )
    run_loop(run_dir)
    kinds = [event.kind for event in Journal(Storage(run_dir)).events]
    assert kinds[kinds.index("images_quarantined") + 1] == "shards_scored"


def test_a_pool_of_broken_images_is_refused_before_anything_is_written(root):
    for path in (root / "data" / "train").glob("*[1-6].png"):
        path.write_bytes(b"no image")
    with pytest.raises(RayALError, match="6 of 8 pool images cannot be read"):
        create_run(configure(root), str(root / "run"))
    assert not (root / "run").exists()


def test_a_pixel_costs_a_click_and_needs_no_more_in_the_budget(root):
    config = configure(
        root,
        regions={"kind": "pixels", "per_image": 5},
        budget={"unit": "clicks", "start": 20, "per_cycle": 20, "amount": 40},
    )
    run_dir = create_run(config, str(root / "run"))
    run_loop(run_dir)
    assert verify(run_dir)["spent"] == 40


def test_verify_names_a_changed_file(root):
    run_dir = create_run(configure(root), str(root / "run"))
    run_loop(run_dir)
    path = root / "run" / "cycles" / "0000" / "start.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(VerifyError, match="start.parquet"):
        verify(run_dir)


def test_equals_own_protocol(root):
    """A scored start, kept weights and optimizer, both losses, extra epochs, the void filter."""
    for path in (root / "data" / "trainannot").glob("0000[0-5].png"):
        mask = Image.open(path)
        mask.paste(255, (0, 0, 128, 48))
        mask.save(path)
    config = configure(
        root,
        train={
            "steps": None,
            "epochs": 1,
            "policy": "continue",
            "extra_epochs": 3,
            "extra_every": 0.5,
            "mirror_loss": True,
            "consistency": 1.0,
        },
        strategy={"acquisition": "equal", "skip_void_by_ground_truth": True},
        budget={"start": 2, "per_cycle": 2, "amount": 8, "start_rule": "scored"},
    )
    run_dir = create_run(config, str(root / "run"))
    run_loop(run_dir)
    storage = Storage(run_dir)
    state = fold(Journal(storage).events)
    verify(run_dir)
    assert sorted(state.trained) == [-1, 0, 1, 2, 3]
    assert state.trained[-1].num_steps == 0
    for cycle in range(4):
        model = state.trained[cycle]
        epochs = 3 if model.labelled.cost in (4, 8) else 1
        assert model.num_steps == epochs * -(-model.labelled.images // 2)
        assert "optimizer.pt" in model.files
    for query in state.queries:
        for row in read_table(storage, query.file).to_pylist():
            assert row["region"] >= 2 or row["image_id"] in ("train/00006.png", "train/00007.png")


@pytest.mark.parametrize("policy", ["finetune", "reset"])
def test_a_budget_in_pixels_and_power_sampling(root, policy):
    total = 8 * 96 * 128
    config = configure(
        root,
        train={"policy": policy},
        strategy={"acquisition": "margin", "batch": {"kind": "power", "beta": 2}},
        budget={"unit": "pixels", "start": 0.1, "per_cycle": 0.1, "amount": 0.3},
    )
    run_dir = create_run(config, str(root / "run"))
    run_loop(run_dir)
    state = fold(Journal(Storage(run_dir)).events)
    verify(run_dir)
    assert state.amount == round(0.3 * total)
    assert state.spent == state.labelled_pixels
    assert state.amount - 48 * 64 < state.spent <= state.amount


def test_warm_trainings_have_a_learning_rate_of_their_own(root):
    config = configure(
        root,
        train={
            "policy": "finetune",
            "learning_rate": 0.01,
            "warm_learning_rate": 1e-12,
            "weight_decay": 0,
        },
        budget={"start": 4, "per_cycle": 4, "amount": 12, "start_rule": "scored"},
        cluster={"keep_checkpoints": 9},
    )
    run_dir = create_run(config, str(root / "run"))
    run_loop(run_dir)
    storage = Storage(run_dir)
    files = {
        cycle: trained.model.path
        for cycle, trained in fold(Journal(storage).events).trained.items()
    }
    untrained, first, second = (
        torch.load(io.BytesIO(storage.read(files[cycle])), weights_only=True)["backbone.0.0.weight"]
        for cycle in (-1, 0, 1)
    )
    assert (first - untrained).abs().max() > 1e-3
    assert (second - first).abs().max() < 1e-9


def test_images_of_many_sizes_in_one_pool(root):
    for number, size in enumerate([(100, 80), (64, 96), (33, 47)]):
        for folder in ("train", "trainannot"):
            path = root / "data" / folder / f"0000{number}.png"
            Image.open(path).resize(size, Image.Resampling.NEAREST).save(path)
    config = configure(
        root, regions={"rows": 3, "columns": 2}, budget={"start": 16, "per_cycle": 16, "amount": 48}
    )
    run_dir = create_run(config, str(root / "run"))
    run_loop(run_dir)
    state = fold(Journal(Storage(run_dir)).events)
    assert state.finished
    assert state.labelled_regions == 48
    assert state.labelled_pixels == 100 * 80 + 64 * 96 + 33 * 47 + 5 * 96 * 128
    assert CliRunner().invoke(main, ["report", run_dir]).exit_code == 0

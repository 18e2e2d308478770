"""Validation images drawn from the pool, and runs without any."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.records import cycle_trained, run_created
from helpers.small_training import train
from PIL import Image

from ray_al.core.config import DataConfig, parse_config
from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile
from ray_al.datasets import check_start, open_dataset
from ray_al.datasets.validation import draw_validation, is_drawn, recorded_validation
from ray_al.driver.check_validation import check_validation_use
from ray_al.driver.measured import Summary, summary
from ray_al.driver.status import ProgressTeller, classes_line, miou_text
from ray_al.ledger import State
from ray_al.ledger.fold import apply
from ray_al.report.curve import curve_csv
from ray_al.report.rows import curve_rows
from ray_al.sweep.config import load_sweep
from ray_al.sweep.plan import plan_trials
from ray_al.terminal import show_progress

NAMES = [f"images/train/{number:04d}.png" for number in range(2000)]


def files(names, masked=True):
    return [
        ImageFile(image_id=name, uri=f"/data/{name}", mask_uri=f"/masks/{name}" if masked else None)
        for name in names
    ]


def names_of(images):
    return [image.image_id for image in images]


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("10 %", "10 %"),
        ("12.5%", "12.5 %"),
        (0.1, "10 %"),
        (0.125, "12.5 %"),
        ("none", "none"),
        (None, "none"),
        ("val", "val"),
    ],
)
def test_a_split_a_share_or_none(value, known):
    data = DataConfig(val_split=value)
    assert data.val_split == known
    assert DataConfig.model_validate(data.model_dump(mode="json")) == data
    assert data.has_validation is (known != "none")
    assert data.val_share == (float(known[:-2]) / 100 if known.endswith("%") else None)


@pytest.mark.parametrize("value", ["0 %", "100 %", "120 %", 1, 3, 0.0, True, "~x", "../x", "%"])
def test_other_values_are_refused(value):
    with pytest.raises(ConfigError, match=r"data\.val_split"):
        parse_config({"data": {"val_split": value}}, source="test")


def test_the_draw_follows_from_the_names_alone():
    drawn = [name for name in NAMES if is_drawn(name, 0.1)]
    assert 150 < len(drawn) < 250
    pool, validation = draw_validation(files(NAMES), 0.1, "10 %")
    assert names_of(validation) == drawn
    assert sorted(names_of(pool) + drawn) == NAMES
    some = NAMES[::3]
    assert names_of(draw_validation(files(some), 0.1, "10 %")[1]) == [
        name for name in some if name in set(drawn)
    ]
    assert set(drawn) <= {name for name in NAMES if is_drawn(name, 0.2)}


def test_images_without_a_mask_stay_in_the_pool():
    bare, masked = files(NAMES[:1000], masked=False), files(NAMES[1000:])
    pool, validation = draw_validation([*bare, *masked], 0.5, "50 %")
    assert all(image.mask_uri for image in validation)
    assert set(names_of(bare)) <= set(names_of(pool))


@pytest.mark.parametrize(
    ("images", "share", "words"),
    [
        (files(NAMES[:9], masked=False), 0.1, "none of the 9 images has a mask.*val_split=none"),
        (files(NAMES[:1]), 0.0001, "is none; raise it"),
        (files(NAMES[:2]), 0.9999, "is all.*lower it"),
    ],
)
def test_an_empty_part_is_refused(images, share, words):
    with pytest.raises(ConfigError, match=rf"data\.val_split: S .*{words}"):
        draw_validation(images, share, "S")


def parquet_names(names):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image_id": names}), buffer)
    return buffer.getvalue()


def test_a_run_keeps_the_images_that_it_drew(tmp_path):
    run = Storage(str(tmp_path))
    assert recorded_validation(files(NAMES), run) is None
    run.create("validation.parquet", parquet_names(NAMES[5:7]))
    recorded = recorded_validation(files(NAMES[:10]), run)
    assert recorded is not None
    pool, validation = recorded
    assert names_of(validation) == NAMES[5:7]
    assert names_of(pool) == NAMES[:5] + NAMES[7:10]


@pytest.fixture
def folder(tmp_path):
    """Twenty images with masks and no validation split."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind / "train").mkdir(parents=True)
    for number in range(20):
        photo = rng.integers(0, 256, (32, 40, 3), np.uint8)
        Image.fromarray(photo).save(tmp_path / f"data/images/train/{number}.png")
        mask = rng.integers(0, 2, (32, 40)).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / f"data/masks/train/{number}.png")
    return {
        "dataset": "folder",
        "root": str(tmp_path / "data"),
        "class_names": ["ground", "disc"],
    }


def test_a_share_of_a_folder_leaves_the_pool(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"no images of split 'val'"):
        open_dataset(DataConfig(**folder))
    data = DataConfig(**folder, val_split="30 %")
    dataset = open_dataset(data)
    pool, validation = (names_of(dataset.splits[split]) for split in ("train", "val"))
    assert len(pool) + len(validation) == 20 and validation and not set(pool) & set(validation)
    check_start(dataset, pool_masks=True)
    run = Storage(str(tmp_path / "run"))
    run.create("validation.parquet", parquet_names(validation))
    first = tmp_path / "data/images/train/0.png"
    for number in range(20, 60):
        (first.parent / f"{number}.png").write_bytes(first.read_bytes())
        mask = tmp_path / f"data/masks/train/{number}.png"
        mask.write_bytes((mask.parent / "0.png").read_bytes())
    again = open_dataset(data, run)
    assert names_of(again.splits["val"]) == validation
    assert again.digest("val") == dataset.digest("val")
    fresh = names_of(open_dataset(data).splits["val"])
    assert set(validation) < set(fresh)


def test_without_validation_no_image_is_needed(folder):
    dataset = open_dataset(DataConfig(**folder, val_split="none"))
    assert (len(dataset.splits["train"]), dataset.splits["val"]) == (20, ())
    check_start(dataset, pool_masks=True)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"train": {"keep": "best"}}, r"train\.keep: best"),
        ({"final": {"train": {"keep": "best"}}}, r"final\.train\.keep: best"),
        ({"final": {"budgets": [0.05]}}, r"final\.budgets: \[0\.05\]"),
        ({"strategy": {"acquisition": "validation_gap"}}, r"strategy\.acquisition: validation_gap"),
    ],
)
def test_what_needs_validation_images_is_refused_without_them(settings, key):
    check_validation_use(parse_config(settings, source="test"))
    config = parse_config({**settings, "data": {"val_split": "none"}}, source="test")
    with pytest.raises(ConfigError, match=rf"^{key} needs the mIoU.*data\.val_split: 10 %"):
        check_validation_use(config)


def test_a_sweep_needs_a_score(tmp_path):
    (tmp_path / "base.yaml").write_text("data: {val_split: none}")
    values = {"base": "base.yaml", "space": {"strategy.acquisition": ["random", "entropy"]}}
    (tmp_path / "sweep.yaml").write_text(json.dumps({"name": "s", "seeds": [0], **values}))
    sweep = load_sweep(str(tmp_path / "sweep.yaml"))
    with pytest.raises(ConfigError, match=r"data\.val_split: none gives no mIoU"):
        plan_trials(sweep)


def test_a_training_without_validation_has_no_metrics(tmp_path):
    result = train(tmp_path, data={"val_split": "none"}, steps=2)
    assert result.metrics == {} and "model.pt" in result.files


def state_of(cycles, **created):
    state = State(created=run_created(num_regions=10, class_names=["a", "b"], **created))
    for record in cycles:
        state = apply(record, state)
    return state


BARE = {
    "metrics": {},
    "class_pixels": [5, 0],
    "losses": [[step, 10.0 - step] for step in range(10)],
}


def test_a_run_says_at_its_start_that_it_has_no_validation_images():
    with pytest.raises(ValueError, match=r"metrics lacks \['val'\]"):
        state_of([cycle_trained(0, **BARE)])
    state = state_of([cycle_trained(0, **BARE)], has_validation=False)
    (row,) = curve_rows(state)
    assert (row["miou"], row["iou_a"], row["train_loss"]) == (None, None, 1.0)
    head, line = curve_csv([row], ["a", "b"]).splitlines()
    values = dict(zip(head.split(","), line.split(","), strict=True))
    assert head.endswith(",train_loss") and values["train_loss"] == "1" and values["miou"] == ""


def test_other_runs_have_the_columns_that_they_had():
    metrics = {"val": {"miou": 0.5, "pixel_accuracy": 0.5, "iou": [0.5, None], "num_images": 1}}
    (row,) = curve_rows(state_of([cycle_trained(0, metrics=metrics)]))
    assert curve_csv([row], ["a", "b"]).splitlines()[0].endswith(",measure_seconds")
    (row,) = curve_rows(
        state_of([cycle_trained(0, metrics=metrics, kept_step=4, evaluations=[[4, 0.5]])])
    )
    assert curve_csv([row], ["a", "b"]).splitlines()[0].endswith(",measure_seconds,kept_step")


def test_models_without_a_score_have_no_mean():
    assert summary([]) == Summary(mious=(), miou=None, spread=None)


def test_the_terminal_says_which_score_there_is():
    facts = {"miou": None, "has_validation": False, "train_loss": 0.25}
    assert miou_text(facts) == "no validation images and so no mIoU, training loss 0.2500"
    assert miou_text({**facts, "has_validation": True}) is None
    assert miou_text({**facts, "train_loss": None}) is None
    assert miou_text({**facts, "miou": 0.5}) == "mIoU 0.5000"


def test_classes_without_a_label_are_named():
    state = state_of([cycle_trained(0, **BARE)], has_validation=False)
    assert (state.unlabelled_classes, state.only_class) == (["b"], "a")
    assert classes_line(["b"], "a") == "no label so far of: b; every label is of a"
    assert classes_line(["b"], None) == "no label so far of: b"
    assert classes_line([], None) is None
    assert state_of([]).only_class is None


def test_a_notice_is_told_once_a_cycle(tmp_path):
    run = Storage(str(tmp_path))
    told: list[str] = []
    tell = ProgressTeller(run, told.append)
    live = {"stage": "score", "cycle": 0, "done": 0, "total": 0, "seconds_left": None}
    for cycle, notice in ((0, ""), (0, "cycle 0: x"), (0, "cycle 0: x"), (1, "cycle 1: x")):
        values = {**live, "cycle": cycle, "notice": notice, "updated_at": "now"}
        run.replace("status.json", json.dumps(values).encode())
        tell("")
    tell("waiting for the cluster")
    lines = ["cycle 0: score", "cycle 1: score"]
    assert told == [
        lines[0],
        "cycle 0: x\n",
        lines[0],
        lines[0],
        "cycle 1: x\n",
        lines[1],
        "waiting for the cluster",
    ]


def test_a_notice_stays_on_the_terminal(capsys):
    with show_progress() as show:
        for line in ("cycle 0: train 1/8", "cycle 0: no label\n", "cycle 0: train 2/8"):
            show(line)
    assert capsys.readouterr().err == "cycle 0: train 1/8\ncycle 0: no label\n"


def test_a_damaged_record_of_the_drawn_images_is_no_record(tmp_path):
    run = Storage(str(tmp_path))
    run.create("validation.parquet", b"damaged")
    with pytest.raises(StorageError, match=r"validation\.parquet: is damaged.*from a copy"):
        recorded_validation(files(NAMES[:3]), run)

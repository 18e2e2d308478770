"""What extending a run leaves as it is: validation images, classes, and the work of any event."""

from pathlib import Path

import pytest
from helpers.extended_runs import CLASSES, configure_five, done, put_away, stop_after
from helpers.run_reading import state_of

from ray_al.core.storage import Storage
from ray_al.datasets import open_dataset
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.ledger.config import read_config

ALL_EVENTS = [
    pytest.param(number, marks=() if number in (7, 13) else pytest.mark.slow)
    for number in range(2, 21)
]


@pytest.mark.parametrize("num_events", ALL_EVENTS)
def test_a_run_that_was_killed_after_any_event_can_be_extended(
    num_events: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = put_away(root)
    run = create_run(configure_five(root, train={"policy": "finetune"}), str(root / "run"))
    stop_after(num_events, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_loop(run)
    monkeypatch.undo()
    later.come()
    done("extend", run, "--add-class", "sign=5", "--budget", 16)
    done("verify", run)
    assert run_loop(run).kind == "finished"
    done("verify", run)
    state = state_of(run)
    assert state.spent == 16 and state.sizes.num_images == 8
    assert len(state.cycles[-1].class_pixels) == 6


def test_images_that_join_never_become_validation_images(root: Path) -> None:
    later = put_away(root, num_left=5)
    data = {"val_split": "40 %", "class_names": CLASSES[:3], "ignore_ids": [3, 4, 5]}
    run = create_run(configure_five(root, data=data), str(root / "run"))
    before = open_dataset(read_config(Storage(run)).data, Storage(run)).splits["val"]
    later.come()
    assert f"images added: {len(later.names)};" in done("extend", run)
    after = open_dataset(read_config(Storage(run)).data, Storage(run)).splits["val"]
    assert after == before
    pool = read_table(Storage(run), state_of(run).created.manifest)["image_id"].to_pylist()
    assert not set(pool) & {image.image_id for image in after}
    (root / "data" / after[0].image_id).unlink()
    assert "are not those that the run began with" in done("extend", run, code=2)


def test_it_is_said_that_labels_of_new_images_are_asked_for_although_they_exist(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later = put_away(root)
    run = create_run(configure_five(root, label={"annotator": "files"}), str(root / "run"))
    later.come()
    done("extend", run)
    assert "2 of the 2 added images have masks; labels that exist are taken in only" in caplog.text


def test_a_rename_may_swap_names_but_not_take_one_that_stays(root: Path) -> None:
    run = create_run(configure_five(root), str(root / "run"))
    assert "two classes 'sky'" in done("extend", run, "--rename-class", "car=sky", code=2)
    swap = ("--rename-class", "car=sky", "--rename-class", "sky=car")
    assert "class renamed: car is now sky" in done("extend", run, *swap)
    assert state_of(run).created.class_names == ("car", *CLASSES[1:4], "sky")
    both = ("--add-class", "sign=5", "--add-class", "post=6", "--rename-class", "car=truck")
    written = done("extend", run, *both)
    assert "class added: sign (id 5)" in written and "class added: post (id 6)" in written
    assert "mask_values" not in written and "ignore_ids" not in written


@pytest.mark.parametrize(
    ("amount", "words"),
    [("0", "--budget 0: must be more than 0"), ("lots", "give a whole number"), ("1e9", "a share")],
)
def test_a_budget_that_is_no_amount_is_refused(amount: str, words: str, root: Path) -> None:
    run = create_run(configure_five(root), str(root / "run"))
    assert words in done("extend", run, "--budget", amount, code=2)

"""Runs that begin with labels that exist, in this process, for people and simulation alike."""

import json

import numpy as np
import pytest
from helpers.small_runs import configure
from PIL import Image

from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.datasets.compose import decode_mask
from ray_al.driver.checks import check_config, check_pool
from ray_al.driver.create import create_run
from ray_al.driver.fork import start_config
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold

TINY = {"name": "helpers.training:tiny"}


def existing(rule=None, **budget):
    rule = {"kind": "existing", **(rule or {})}
    return {"start_rule": rule, "per_cycle": 4, "amount": 12, **budget}


def keep_masks(root, names):
    """Remove the masks of all pool images but these."""
    for path in (root / "data" / "trainannot").iterdir():
        if f"train/{path.name}" not in names:
            path.unlink()


def name_images(root, names):
    (root / "data" / "labelled.txt").write_text("\n".join(names) + "\n")
    return {"names": "labelled.txt"}


def run_of(root, **changes):
    run_dir = create_run(configure(root, model=TINY, **changes), str(root / "run"))
    outcome = run_loop(run_dir)
    storage = Storage(run_dir)
    state = fold(Journal(storage).events)
    assert verify(run_dir)["labelled_regions"] == state.labelled_regions
    return outcome.kind, state, [read_table(storage, query.file) for query in state.queries]


def labels_of(root, state):
    storage = Storage(str(root / "run"))
    return [row for ref in state.label_parts for row in read_table(storage, ref).to_pylist()]


@pytest.fixture
def names(root):
    images = sorted(path.name for path in (root / "data" / "train").iterdir())
    return [f"train/{name}" for name in images]


def test_people_are_asked_for_all_but_the_labelled_images(root, names):
    labelled = names[1:5:3]
    keep_masks(root, labelled)
    mask = root / "data" / "trainannot" / labelled[0].removeprefix("train/")
    ids = np.array(Image.open(mask))
    ids[:5, :7] = 255
    Image.fromarray(ids).save(mask)
    outcome, state, queries = run_of(
        root, label={"annotator": "files"}, budget=existing({"counted": False})
    )
    assert outcome == "waiting" and sorted(state.trained) == [0]
    start, asked = queries
    assert sorted(set(start["image_id"].to_pylist())) == labelled and len(start) == 8
    assert set(start["reason"].to_pylist()) == {"existing label"}
    assert not set(asked["image_id"].to_pylist()) & set(labelled)
    assert (state.spent, state.reserved, state.labelled_regions) == (0, 4, 8)
    labels = labels_of(root, state)
    assert {row["annotator"] for row in labels} == {"existing"}
    first = decode_mask(labels[0]["mask"])
    assert (first[:5, :7] == 255).all() and (first[5:] != 255).any()
    tasks = json.loads(Storage(str(root / "run")).read("cycles/0001/tasks/tasks.json"))["tasks"]
    assert not {task["image_id"] for task in tasks} & set(labelled)


@pytest.mark.parametrize("counted", [True, False])
def test_a_simulation_begins_with_the_images_of_a_list(root, names, counted):
    rule = {**name_images(root, names[:2]), "counted": counted}
    outcome, state, queries = run_of(root, budget=existing(rule))
    assert outcome == "finished"
    asked = [(row["image_id"], row["region"]) for query in queries for row in query.to_pylist()]
    assert len(set(asked)) == len(asked) == state.labelled_regions == (12 if counted else 20)
    assert {name for name, _ in asked[:8]} == set(names[:2])
    assert state.spent == state.amount == 12
    curve = (root / "run" / "curve.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in curve[1:3]] == [
        ["0", "8"],
        ["1", "12"],
    ]


@pytest.mark.parametrize(
    ("unit", "amount", "spent"),
    [
        ("images", 4, 2),
        pytest.param("pixels", 60_000, 2 * 96 * 128, marks=pytest.mark.slow),
        ("clicks", 4000, None),
    ],
)
def test_existing_labels_cost_what_their_unit_says(root, names, unit, amount, spent):
    rule = name_images(root, names[:2])
    budget = existing(rule, unit=unit, per_cycle=amount, amount=amount)
    _, state, _ = run_of(root, budget=budget)
    cost = state.queries[0].received_cost
    assert state.queries[0].closed and 0 < cost <= amount
    assert spent is None or cost == spent


@pytest.mark.slow
def test_superpixels_of_labelled_images_are_taken(root, names):
    regions = {"kind": "superpixels", "count": 9}
    rule = {**name_images(root, names[:2]), "counted": False}
    budget = existing(rule, per_cycle=3, amount=3)
    _, state, queries = run_of(root, regions=regions, budget=budget)
    assert set(queries[0]["image_id"].to_pylist()) == set(names[:2])
    assert queries[0]["region"].to_pylist()[:3] == [0, 1, 2]
    assert (state.spent, len(queries[1])) == (3, 3)


def test_a_labelled_image_whose_mask_is_wrong_is_refused_alone(root, names):
    keep_masks(root, names[:3])
    mask = root / "data" / "trainannot" / names[0].removeprefix("train/")
    Image.fromarray(np.full_like(np.array(Image.open(mask)), 77)).save(mask)
    _, state, _ = run_of(root, label={"annotator": "files"}, budget=existing({"counted": False}))
    assert {refusal.name[0] for refusal in state.refused} == {names[0]}
    assert all("id 77" in refusal.reason for refusal in state.refused)
    assert state.labelled_regions == 8


def check(root, **changes):
    config = configure(root, model=TINY, **changes)
    check_pool(config, check_config(config))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "all 8 images of the pool are labelled, so none is left"),
        ({"names": "gone.txt"}, r"start_rule\.names=gone\.txt: there is no such file"),
        ({"names": "odd.txt"}, r"1 of 2 lines name no image of the pool: 'nosuch\.png'; write"),
    ],
)
def test_lists_and_pools_that_leave_nothing_are_refused(root, names, rule, words):
    (root / "data" / "odd.txt").write_text(f"{names[0]}\nnosuch.png\n")
    with pytest.raises(ConfigError, match=words):
        check(root, budget=existing(rule))


def test_no_masks_and_too_small_budgets_are_refused(root, names):
    people = {"annotator": "files"}
    keep_masks(root, names[:2])
    with pytest.raises(ConfigError, match=r"cost 8 regions, and budget\.amount is 8.*counted=fal"):
        check(root, label=people, budget=existing(amount=8))
    check(root, label=people, budget=existing(amount=9))
    check(root, label=people, budget=existing({"counted": False}, amount=4))
    rule = name_images(root, names[1:3])
    with pytest.raises(ConfigError, match=f"1 of 2 images have no mask: {names[2]}"):
        check(root, label=people, budget=existing(rule))
    with pytest.raises(ConfigError, match="needs a mask for every pool image, 6 of 8"):
        check(root, budget=existing())
    keep_masks(root, [])
    with pytest.raises(ConfigError, match="none of the 8 images of the pool has a mask"):
        check(root, label=people, budget=existing())


def test_masks_that_a_run_does_not_read_are_said(root, names, caplog):
    people = {"annotator": "files"}
    check(root, label=people)
    assert "have masks, which this run does not read" not in caplog.text
    keep_masks(root, names[:2])
    check(root, label=people)
    assert "2 of the 8 images of the pool have masks, which this run does not read" in caplog.text


def test_sweeps_share_no_start_of_existing_labels(root, names):
    assert start_config(configure(root)) is not None
    assert start_config(configure(root, budget=existing(name_images(root, names[:2])))) is None


def test_sparse_regions_are_refused(root):
    with pytest.raises(ConfigError, match=r"start_rule='existing'.*a region at every pixel"):
        check(root, regions={"kind": "pixels"}, budget=existing())

"""Tiles with the other parts of a run: each works, and what people get is cut from the scan."""

import json

import numpy as np
import pytest
import torch
from helpers.commands import invoke
from helpers.scans import SMALL, configure, make_scans, run
from PIL import Image

from ray_al.core.errors import Interrupted
from ray_al.datasets import whole
from ray_al.datasets.rasters import open_values
from ray_al.datasets.tiles import Tiling
from ray_al.driver.final import train_final
from ray_al.predict.export import export_model
from ray_al.predict.run import Resources, predict_arrays, predict_images
from ray_al.report.build import write_report

TILES = {"tile": [48, 64], "tile_overlap": 10}
QUICK = {"steps": 3, "batch_size": 2, "threads": 1, "workers": 0}
FROZEN = {"kind": "composed", "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone"}}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    make_scans(root, {"train": 3, "val": 1}, SMALL, side=7, per_scan=12)
    return root


@pytest.fixture(scope="module")
def finished(scans, tmp_path_factory):
    """A finished run on tiles: its files, and its state."""
    config = configure(scans, "local", TILES, train=QUICK)
    return run(config, tmp_path_factory.mktemp("finished") / "run")


@pytest.mark.parametrize(
    "sections",
    [
        {
            "regions": {"kind": "windows", "per_image": 4, "radius": 3},
            "strategy": {"acquisition": "ripu"},
        },
        {"strategy": {"acquisition": "bald", "passes": {"kind": "ensemble", "count": 2}}},
        {"strategy": {"acquisition": "equal"}},
        {"model": FROZEN, "strategy": {"acquisition": "equal"}},
        {
            "model": FROZEN,
            "strategy": {"acquisition": "bald", "passes": {"kind": "noise", "count": 2}},
        },
        {
            "model": FROZEN,
            "strategy": {"acquisition": "entropy", "batch": {"kind": "kcenter"}},
        },
        {"label": {"kind": "classes"}},
    ],
    ids=["windows", "ensemble", "equal", "frozen equal", "noise", "kcenter", "classes"],
)
def test_a_run_ends_and_verifies(scans, tmp_path, sections):
    config = configure(scans, "local", TILES, **{"train": QUICK, **sections})
    storage, state = run(config, tmp_path / "run")
    assert state.cycles[-1].labelled.regions == 40
    assert state.cycles[-1].metrics["val"].num_images == 1
    (ids,) = predict_arrays(storage.root, [str(scans / "images/val/0.png")])
    assert ids.shape == SMALL


def test_a_share_of_the_scans_is_kept_for_validation(scans, tmp_path):
    config = configure(scans, "local", {**TILES, "val_split": "34 %"}, train=QUICK)
    _, state = run(config, tmp_path / "run")
    assert state.cycles[-1].metrics["val"].num_images == 1
    assert state.created.num_images == 2 * 9


def test_features_that_an_offer_compares_are_refused(scans, tmp_path):
    offer = {"kind": "herding"}
    regions = {"kind": "pixels", "per_image": 5}
    config = configure(
        scans,
        "local",
        TILES,
        model=FROZEN,
        regions=regions,
        strategy={"acquisition": "entropy", "offer": offer},
    )
    with pytest.raises(Exception, match=r"data\.tile=\[48, 64\] divides images into tiles"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_people_are_shown_crops_and_never_the_scan(scans, tmp_path):
    margin = 12
    annotator = {"kind": "files", "margin": margin}
    config = configure(scans, "local", TILES, train=QUICK, label={"annotator": annotator})
    storage, state = run(config, tmp_path / "run", kind="waiting")
    folder = tmp_path / "run" / state.queries[-1].tasks
    tiles = {tile.corner: tile for tile in Tiling.of(config.data).tiles(SMALL)}
    tasks = json.loads((folder / "tasks.json").read_text())["tasks"]
    assert len(tasks) == 20
    for task in tasks:
        scan, _, corner = task["image_id"].partition("#")
        shown = np.array(Image.open(folder / f"{task['name']}.png"))
        assert max(shown.shape[:2]) <= 64 // 3 + 1 + 2 * margin
        core = tiles[tuple(map(int, corner.split(",")))].core
        top, left, bottom, right = task["context"]
        place = np.s_[core.top + top : core.top + bottom, core.left + left : core.left + right]
        assert (shown == np.array(Image.open(scans / scan))[place]).all()
    assert not whole._images._kept


def test_a_query_at_random_decodes_no_scan_per_region(scans, tmp_path, monkeypatch):
    """Each scan is decoded once to choose regions in any order, to check them and to show them."""
    decoded: list[str] = []

    def counted(data, source, channels=None):
        decoded.append(source)
        return open_values(data, source, channels)

    monkeypatch.setattr(whole, "open_values", counted)
    monkeypatch.setattr(whole, "KEPT_BYTES", 0)
    config = configure(scans, "local", TILES, label={"annotator": "files"})
    run(config, tmp_path / "run", kind="waiting")
    assert len(set(decoded)) == 3
    assert len(decoded) == 3 * 3


def test_predictions_of_scans_stop_after_any_of_them_and_continue(scans, finished, tmp_path):
    storage, _ = finished
    folder, out = [str(scans / "images/train")], str(tmp_path / "out")
    resources = Resources(threads=1, batch_size=4)
    seen: list[int] = []
    with pytest.raises(Interrupted):
        predict_images(
            storage.root,
            folder,
            out,
            resources=resources,
            progress=lambda done, total: seen.append(done),
            should_stop=lambda: bool(seen and seen[-1] >= 1),
        )
    assert len(list((tmp_path / "out/ids").iterdir())) == 1
    facts = predict_images(storage.root, folder, out, resources=resources)
    assert (facts["predicted"], facts["skipped"]) == (2, 1)
    for number, ids in enumerate(
        predict_arrays(storage.root, [f"{folder[0]}/{number}.png" for number in range(3)])
    ):
        assert (np.array(Image.open(tmp_path / f"out/ids/{number}.png")) == ids).all()


def test_final_models_exports_and_reports(finished, tmp_path):
    storage, _ = finished
    train_final(storage.root, "final", progress=lambda done, total: None, should_stop=lambda: False)
    export_model(storage.root, str(tmp_path / "model.pt2"), "torch")
    about = {"metadata.json": ""}
    torch.export.load(str(tmp_path / "model.pt2"), extra_files=about)
    assert "tiles of this size that share at least 10 pixels" in about["metadata.json"]
    write_report(storage.root, [1_000, 1_000])
    page = storage.read("report.html").decode()
    assert "0.png#" in page


def test_datasets_check_reads_scans_one_at_a_time(scans, tmp_path):
    path = tmp_path / "scans.yaml"
    data = {"dataset": "folder", "root": str(scans), "class_names": ["ground", "speck"], **TILES}
    path.write_text(json.dumps({"data": data}))
    result = invoke("datasets", "check", str(path))
    assert "ok" in result.output.lower(), result.output

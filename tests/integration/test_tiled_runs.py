"""Whole runs on tiles: the same numbers as on whole images, and small objects that are found."""

import json

import numpy as np
import pytest
from helpers.scans import SMALL, configure, make_scans, run
from PIL import Image

import ray_al
from ray_al.datasets import open_dataset, whole
from ray_al.datasets.masks import read_mask
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold
from ray_al.predict.run import Resources, predict_arrays, predict_images
from ray_al.report.build import write_report
from ray_al.report.panels import image_panels


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    make_scans(root, {"train": 3, "val": 2}, SMALL, side=7, per_scan=12)
    return root


@pytest.fixture(scope="module")
def tiled(scans, tmp_path_factory):
    config = configure(scans, "pixelwise", {"tile": [48, 64], "tile_overlap": 10})
    return run(config, tmp_path_factory.mktemp("tiled") / "run")


def confusion(prediction, mask):
    return np.bincount(prediction.ravel().astype(int) * 2 + mask.ravel(), minlength=4)


def test_metrics_are_over_whole_images_and_predictions_are_stitched(scans, tiled):
    storage, state = tiled
    measured = state.cycles[-1].metrics["val"]
    assert measured.num_images == 2
    files = open_dataset(configure(scans, "pixelwise", {"image_size": SMALL}).data).splits["val"]
    decoder = open_dataset(configure(scans, "pixelwise", {}).data).decoder
    total = np.zeros(4)
    for file, ids in zip(
        files, predict_arrays(storage.root, [file.uri for file in files]), strict=True
    ):
        assert ids.shape == SMALL
        total += confusion(ids, read_mask(str(file.mask_uri), decoder))
    ious = [total[0] / (total[:3].sum()), total[3] / total[1:].sum()]
    assert measured.miou == pytest.approx(np.mean(ious), abs=1e-6)
    assert measured.miou > 0.9


def test_every_pixel_of_the_pool_is_in_one_region(tiled):
    _, state = tiled
    assert state.created.num_images == 3 * 3 * 3
    assert state.created.num_regions == 9 * 27
    assert state.created.num_pixels == 3 * 90 * 130


def test_the_report_shows_tiles(tiled):
    storage, state = tiled
    panels = image_panels(storage, state)
    assert all("#" in panel.image_id for panel in panels)
    assert all(max(panel.frames[0].photo.shape[:2]) < 64 for panel in panels)
    write_report(storage.root, [1_000, 1_000])


def test_predictions_are_written_at_the_size_of_the_scan(scans, tiled, tmp_path):
    places, out = [str(scans / "images/val")], str(tmp_path / "predicted")
    facts = predict_images(
        tiled[0].root,
        places,
        out,
        forms=["ids", "probabilities"],
        resources=Resources(batch_size=3),
    )
    assert facts["predicted"] == 2
    (first,) = (tmp_path / "predicted/ids").rglob("0.png")
    ids = np.array(Image.open(first))
    (archive,) = (tmp_path / "predicted/probabilities").rglob("0.npz")
    probabilities = np.load(archive)["probabilities"]
    assert ids.shape == SMALL
    assert probabilities.shape == (2, *SMALL)
    assert np.abs(probabilities.sum(0, dtype=np.float32) - 1).max() < 0.01
    sure = np.abs(probabilities[0].astype(float) - 0.5) > 0.01
    assert (probabilities.argmax(0) == ids)[sure].all()


def test_people_are_shown_tiles(scans, tmp_path):
    config = configure(
        scans, "pixelwise", {"tile": [48, 64], "tile_overlap": 10}, label={"annotator": "files"}
    )
    storage, state = run(config, tmp_path / "run", kind="waiting")
    folder = state.queries[-1].tasks
    tasks = json.loads(storage.read(f"{folder}/tasks.json"))
    assert "#" in json.dumps(tasks)
    assert not whole._images._kept
    assert not whole.masks._kept


@pytest.mark.parametrize(
    ("regions", "label"),
    [
        ({"kind": "pixels", "per_image": 5}, {"kind": "dense"}),
        ({"kind": "superpixels", "count": 12}, {"kind": "dominant"}),
    ],
)
def test_other_regions_lie_within_tiles(scans, tmp_path, regions, label):
    if regions["kind"] == "superpixels" and not hasattr(pytest.importorskip("cv2"), "ximgproc"):
        pytest.skip("this OpenCV lacks its contributed modules: pip install ray_al[superpixels]")
    config = configure(
        scans,
        "pixelwise",
        {"tile": [48, 64], "tile_overlap": 10},
        regions=regions,
        label=label,
        train={"steps": 4, "batch_size": 4, "threads": 1, "workers": 0},
    )
    _, state = run(config, tmp_path / "run")
    assert state.cycles[-1].labelled.regions > 0


def test_a_tiled_pool_grows_and_shrinks_by_whole_images(tmp_path, caplog):
    root = tmp_path / "data"
    make_scans(root, {"train": 2, "val": 1}, SMALL, side=7, per_scan=12)
    config = configure(root, "pixelwise", {"tile": [48, 64], "tile_overlap": 10})
    storage, before = run(config, tmp_path / "run")
    num_tiles = before.created.num_images // 2
    make_scans(tmp_path / "more", {"train": 1}, SMALL, side=7, per_scan=12, seed=1)
    for folder in ("images", "masks"):
        (tmp_path / "more" / folder / "train" / "0.png").rename(root / folder / "train" / "9.png")
    (root / "images/train/0.png").rename(tmp_path / "kept.png")

    facts = ray_al.extend(storage.root, budget=60)
    assert (len(facts["added"]), len(facts["removed"])) == (num_tiles, num_tiles)
    assert run_loop(storage.root).kind == "finished"
    verify(storage.root)
    state = fold(Journal(storage).events)
    assert state.labelled_regions == 60
    assert "9.png#" in "".join(read_table(storage, state.queries[-1].file)["image_id"].to_pylist())
    assert "are not in the pool" not in caplog.text
    (tmp_path / "kept.png").rename(root / "images/train/0.png")
    assert len(ray_al.extend(storage.root, budget=70)["returned"]) == num_tiles


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_objects_of_12_pixels_in_4000_are_learnt_on_tiles_alone(tmp_path, seed):
    """Shrunk to 256 pixels they are less than a pixel wide, and lost among the noise."""
    make_scans(tmp_path, {"train": 1, "val": 1}, (4000, 4000), side=12, per_scan=400, seed=seed)
    train = {"steps": 40, "batch_size": 2, "learning_rate": 0.05, "threads": 1, "workers": 0}
    scores = {}
    for name, data, rows in (
        ("shrunk", {"image_size": [256, 256]}, 24),
        ("tiled", {"tile": [500, 500], "tile_overlap": 32}, 3),
    ):
        config = configure(
            tmp_path,
            "local",
            data,
            seed=seed,
            regions={"kind": "grid", "rows": rows, "columns": rows},
            train={**train, "class_weights": [0.05, 1.0]},
            scoring={"workers": 0, "threads": 2, "precision": "fp32"},
            budget={"start": "15 %", "per_cycle": "1 %", "amount": "15 %"},
        )
        _, state = run(config, tmp_path / name)
        scores[name] = state.cycles[-1].metrics["val"].iou[1]
    assert scores["tiled"] > 0.5 > 0.1 > scores["shrunk"], scores

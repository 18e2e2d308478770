"""Whole runs on colour and near infrared, where the fourth band alone shows the class."""

import re

import numpy as np
import pytest
import tifffile
from PIL import Image
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.run_dir import PREVIEW
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config
from ray_al.predict.export import export_model
from ray_al.predict.run import predict_images
from ray_al.report.build import write_report
from ray_al.report.panels import image_panels

SIZE = (48, 64)


def tiny(num_classes: int, in_channels: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, num_classes, 1),
    )


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures of noise; plants are bright in the fourth band. A strip of each holds no data."""
    root, rng = tmp_path_factory.mktemp("bands"), np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            plants = np.zeros(SIZE, np.uint8)
            for _ in range(3):
                top, left = rng.integers(0, 30), rng.integers(0, 44)
                plants[top : top + 16, left : left + 18] = 1
            colours = rng.integers(2_000, 9_000, (*SIZE, 3))
            infrared = rng.integers(2_000, 5_000, SIZE) + np.where(plants, 4_000, 0)
            values = np.dstack([colours, infrared]).astype(np.uint16)
            values[:, :4] = 0
            plants[:, :4] = 1  # as wrong labels would be
            tifffile.imwrite(root / f"images/{split}/{number}.tif", values, photometric="rgb")
            Image.fromarray(plants).save(root / f"masks/{split}/{number}.png")
    return root


def run(root, out, **data):
    values = {
        "data": {
            "dataset": "folder",
            "root": str(root),
            "class_names": ["ground", "plant"],
            "image_size": list(SIZE),
            "value_range": [2_000, 9_000],
            "nodata": 0,
            "normalize": "measured",
            **data,
        },
        "regions": {"kind": "grid", "rows": 4, "columns": 4},
        "model": {"name": f"{__name__}:tiny"},
        "train": {"steps": 40, "batch_size": 4, "learning_rate": 0.05, "threads": 1},
        "strategy": {"acquisition": "entropy"},
        "scoring": {"workers": 0, "batch_size": 4, "precision": "fp32"},
        "budget": {"start": 24, "per_cycle": 24, "amount": 48},
        "report": {"num_images": 1},
        "cluster": {"host": "process"},
    }
    storage = Storage(create_run(parse_config(values, source="test"), str(out)))
    assert run_loop(storage.root).kind == "finished"
    verify(storage.root)
    return storage, fold(Journal(storage).events)


def test_four_bands_show_what_three_do_not(root, tmp_path):
    three, four = (
        run(root, tmp_path / name, channels=channels)
        for name, channels in (("three", [0, 1, 2]), ("four", [0, 1, 2, 3]))
    )
    scores = [state.cycles[-1].metrics["val"].miou for _, state in (three, four)]
    assert scores[0] < 0.6 < 0.85 < scores[1]

    storage, state = four
    statistics = read_config(storage).data.normalize
    assert len(statistics.mean) == 4
    assert all(0.1 < mean < 0.9 for mean in statistics.mean)
    # Labels of pixels without data are ignored: 4 of 64 columns.
    labelled = sum(state.cycles[-1].class_pixels)
    assert labelled < 48 * (SIZE[0] // 4) * (SIZE[1] // 4)
    (panel,) = image_panels(storage, state)
    assert PREVIEW in state.cycles[-1].files
    assert panel.frames
    write_report(storage.root, [1_000, 1_000])
    page = storage.read("report.html").decode()
    assert len(re.findall("data:image/", page)) >= 1

    facts = export_model(storage.root, str(tmp_path / "four.pt2"), "torch")
    words = "images: float32 (batch, 48, 64, 4), 0 to 255 (channels (0, 1, 2, 3) of the file; 2000"
    assert facts["input"].startswith(words)
    assert facts["same_classes_as_predict"] == 1
    images = [str(root / "images/val"), str(tmp_path / "grey.png")]
    Image.new("L", (64, 48)).save(images[1])
    facts = predict_images(storage.root, images, str(tmp_path / "predicted"))
    assert (facts["predicted"], len(facts["refused"])) == (4, 1)
    predicted = np.array(Image.open(tmp_path / "predicted/ids/0.png"))
    truth = np.array(Image.open(root / "masks/val/0.png"))
    assert (predicted == truth)[:, 4:].mean() > 0.95

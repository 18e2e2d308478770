"""Made-up scans with small objects, networks for them, and runs on them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.ledger import Journal, State, fold

SMALL = (90, 130)


def pixelwise(num_classes: int, in_channels: int = 3) -> nn.Module:
    """A network without context: a pixel's classes depend on nothing around it."""
    return nn.Conv2d(in_channels, num_classes, 1)


def local(num_classes: int, in_channels: int = 3) -> nn.Module:
    """A network that sees a few pixels around each."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, num_classes, 1),
    )


def make_scans(
    root: Path,
    counts: Mapping[str, int],
    size: tuple[int, int],
    *,
    side: int,
    per_scan: int,
    seed: int = 0,
) -> None:
    """Grey scans with red squares of `side` pixels, and masks in which these are class 1."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            image = rng.integers(90, 150, (*size, 3), np.uint8)
            mask = np.zeros(size, np.uint8)
            for _ in range(per_scan):
                top, left = (rng.integers(0, length - side) for length in size)
                place = np.s_[top : top + side, left : left + side]
                image[place] = rng.integers([150, 60, 60], [220, 110, 110], (side, side, 3))
                mask[place] = 1
            Image.fromarray(image).save(root / f"images/{split}/{number}.png", compress_level=1)
            Image.fromarray(mask).save(root / f"masks/{split}/{number}.png")


def configure(
    root: Path, network: str, data: Mapping[str, object], **sections: object
) -> RunConfig:
    values = {
        "data": {
            "dataset": "folder",
            "root": str(root),
            "class_names": ["ground", "speck"],
            **data,
        },
        "regions": {"kind": "grid", "rows": 3, "columns": 3},
        "model": {"name": f"{__name__}:{network}"},
        "train": {"steps": 30, "batch_size": 4, "learning_rate": 0.05, "threads": 1, "workers": 0},
        "strategy": {"acquisition": "entropy"},
        "scoring": {"workers": 0, "threads": 1, "batch_size": 2, "precision": "reference"},
        "budget": {"start": 20, "per_cycle": 20, "amount": 40},
        "report": {"num_images": 2},
        "cluster": {"host": "process"},
        **sections,
    }
    return parse_config(values, source="test")


def run(config: RunConfig, out: Path, kind: str = "finished") -> tuple[Storage, State]:
    storage = Storage(create_run(config, str(out)))
    assert run_loop(storage.root).kind == kind
    verify(storage.root)
    return storage, fold(Journal(storage).events)

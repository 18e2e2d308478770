"""A pool of small images without masks, and people who answer a run's tasks rightly."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from helpers.small_runs import configure
from PIL import Image

from ray_al.core.config import RunConfig
from ray_al.core.families.annotators import Annotator, Answers, LabelRequest
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA

SIZE = (24, 32)
CLASSES = ["sky", "road", "grass"]
COLORS = np.array([[40, 60, 90], [200, 80, 70], [90, 190, 80]], np.uint8)


class Colleague(Annotator):
    """Answers everything at once and rightly, without masks that could be read."""

    kind: str = "helpers.people:Colleague"
    answers_at_once: ClassVar[bool] = True

    def request(self, asked: LabelRequest) -> int:
        raise AssertionError("who answers at once needs no tasks")

    def collect(self, asked: LabelRequest) -> Answers:
        rows = []
        for row in asked.query.select(["image_index", "image_id", "region"]).to_pylist():
            place = asked.place(row["image_index"], row["region"], 0)
            box = place.box
            ids = truth_of(row["image_id"])[box.top : box.bottom, box.left : box.right]
            label = asked.label.row(ids, box, place.region)
            rows.append({**row, **label, "annotator": self.kind, "seconds": 30.0})
        return Answers(table=pa.Table.from_pylist(rows, schema=LABEL_SCHEMA))


class Absent(Colleague):
    """Answers at once, and nothing."""

    kind: str = "helpers.people:Absent"

    def collect(self, asked: LabelRequest) -> Answers:
        return Answers(table=LABEL_SCHEMA.empty_table())


def truth_of(name: str) -> np.ndarray:
    """Return the right class ids of an image, uint8 (24, 32), by its name."""
    number = int(Path(name).stem.removeprefix("im"))
    ids = np.zeros(SIZE, np.uint8)
    ids[:, 6 + number :] = 1
    ids[12 + number % 5 :] = 2
    return ids


def write_pool(root: Path, numbers: range = range(12)) -> None:
    """Write images below `root/data` that have no mask."""
    folder = root / "data" / "images" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in numbers:
        noise = rng.integers(0, 30, (*SIZE, 3)).astype(np.uint8)
        name = f"im{number:02d}.png"
        Image.fromarray(COLORS[truth_of(name)] + noise).save(folder / name)


def write_masks(root: Path, names: list[str]) -> None:
    """Write the right masks of some images of the pool."""
    folder = root / "data" / "masks" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(truth_of(name)).save(folder / Path(name).name)


def validating(root: Path, **changes: Any) -> RunConfig:
    """Return a run whose pool and validation images people label."""
    data = {
        "dataset": "folder",
        "class_names": CLASSES,
        "image_size": [24, 32],
        "val_split": "30 %",
        **changes.pop("data", {}),
    }
    label = {"annotator": "files", "validation": True, **changes.pop("label", {})}
    model = changes.pop("model", {"name": "helpers.networks:linear"})
    budget = {"start": 4, "per_cycle": 4, "amount": 8, **changes.pop("budget", {})}
    return configure(root, data=data, label=label, model=model, budget=budget, **changes)


def tasks_of(run_dir: str, folder: str = "validation/tasks") -> list[dict[str, Any]]:
    """Return the tasks that a folder of a run lists."""
    tasks: list[dict[str, Any]] = json.loads(Storage(run_dir).read(f"{folder}/tasks.json"))["tasks"]
    return tasks


def answer(run_dir: str, folder: str = "validation/tasks", most: int | None = None) -> None:
    """Answer the first tasks of a folder rightly, or all of them."""
    for task in tasks_of(run_dir, folder)[:most]:
        top, left, bottom, right = task["box"]
        path = Path(run_dir) / folder / task["answer"]
        Image.fromarray(truth_of(task["image_id"])[top:bottom, left:right]).save(path)

"""Models of extended runs that are taken away: each with the classes that it knows."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.extended_runs import CLASSES, configure_five, done
from helpers.run_reading import state_of
from PIL import Image

from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop

RENAMED = [*CLASSES[:4], "vehicle"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run that ended, had a class added, and was not trained since."""
    root = tmp_path_factory.mktemp("extended")
    write_synthetic(str(root / "data"), num_images=6, seed=0)
    config = configure_five(root, train={"policy": "finetune"}, data={"val_split": "none"})
    run = create_run(config, str(root / "run"))
    assert run_loop(run).kind == "finished"
    done("final", run)
    done("extend", run, "--add-class", "sign=5", "--rename-class", "car=vehicle", "--budget", 16)
    return root


def classes_of(folder: Path, out: Path, *arguments: object) -> list[str]:
    """Return the classes of predictions of one image, whose ids are all of these classes."""
    image = next((folder / "data" / "train").iterdir())
    done("predict", folder / "run", image, "--out", out, *arguments)
    classes = json.loads((out / "model.json").read_text())["classes"]
    ids = np.array(Image.open(out / "ids" / f"{image.stem}.png"))
    assert ids.max() < len(classes)
    return [one["name"] for one in classes]


def test_models_keep_the_classes_with_which_they_were_trained(folder: Path, tmp_path: Path) -> None:
    assert classes_of(folder, tmp_path / "final") == RENAMED
    assert classes_of(folder, tmp_path / "last", "--cycle", 2) == RENAMED
    done("report", folder / "run")
    done("resume", folder / "run")
    assert len(state_of(str(folder / "run")).created.class_names) == 6
    assert classes_of(folder, tmp_path / "old", "--cycle", 2) == RENAMED
    assert classes_of(folder, tmp_path / "new", "--cycle", 3) == [*RENAMED, "sign"]
    assert classes_of(folder, tmp_path / "old final") == RENAMED
    done("final", folder / "run")
    assert classes_of(folder, tmp_path / "new final") == [*RENAMED, "sign"]

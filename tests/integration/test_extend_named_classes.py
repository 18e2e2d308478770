"""Extended runs on data sets of which files name the classes: COCO's categories, CVAT's labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers.extended_runs import done
from helpers.run_reading import state_of
from helpers.small_runs import configure
from PIL import Image

from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop

TINY = {"name": "helpers.training:tiny"}
SIZE = (40, 60)
COLORS = ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def write_coco(root: Path, split: str, num_images: int, categories: Sequence[str]) -> None:
    """Write images of different brightness; each category has a square in each of them."""
    (root / "images" / split).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(num_images):
        name = f"{split}{number}.png"
        grey = np.full((*SIZE, 3), 40 + number + (90 if split == "val" else 0), np.uint8)
        Image.fromarray(grey).save(root / "images" / split / name)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        for category in range(len(categories)):
            left, right = 12 * category, 12 * category + 10
            corners = [left, 0, right, 0, right, 30, left, 30]
            one = {"image_id": number, "category_id": category, "segmentation": [corners]}
            annotations.append({"id": len(annotations), **one})
    values = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories)],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(values))


def test_a_category_that_a_tool_added_becomes_a_class(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"

    def export(num_images: int, *categories: str) -> None:
        write_coco(data, "train", num_images, categories)
        write_coco(data, "val", 2, categories)

    export(5, "thing")
    config = configure(tmp_path, model=TINY, data={"dataset": "coco"}, budget={"amount": 8})
    assert run_loop(create_run(config, str(run))).kind == "finished"
    export(6, "thing", "other")
    assert "add classes with --add-class" in done("extend", run, "--budget", 12, code=2)
    assert "finished" in done("resume", run)  # its report leaves the new class out
    assert "give the name alone" in done("extend", run, "--add-class", "other=2", code=2)
    written = done("extend", run, "--add-class", "other", "--budget", 12)
    assert "class added: other (id 2)" in written
    assert "finished" in done("resume", run)
    state = state_of(str(run))
    assert state.created.class_names == ("background", "thing", "other")
    assert len(state.cycles[-1].val.iou) == 3 and state.cycles[-1].class_pixels[2] > 0
    export(6, "gizmo", "other")
    assert "would be" in done("extend", run, "--budget", 16, code=2)
    done("extend", run, "--rename-class", "thing=gizmo", "--budget", 16)
    assert "finished" in done("resume", run)
    assert "ok" in done("verify", run)


def write_cvat(root: Path, labels: Sequence[str]) -> None:
    """Write an export of CVAT's "Segmentation mask 1.1", in which every label has a stripe."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        (root / "ImageSets/Segmentation" / f"{split}.txt").write_text(
            "".join(f"im{number}\n" for number in numbers)
        )
        for number in numbers:
            grey = np.full((*SIZE, 3), 40 + number, np.uint8)
            Image.fromarray(grey).save(root / "JPEGImages" / f"im{number}.png")
            mask = np.zeros((*SIZE, 3), np.uint8)
            for place, color in enumerate(COLORS[: len(labels)]):
                mask[:, 20 * place : 20 * place + 20] = color
            Image.fromarray(mask).save(root / "SegmentationClass" / f"im{number}.png")
    lines = (
        f"{label}:{red},{green},{blue}::\n"
        for label, (red, green, blue) in zip(labels, COLORS, strict=False)
    )
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(lines))


def test_a_label_that_was_added_to_the_table_of_an_export_becomes_a_class(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_cvat(data, ["background", "disc"])
    config = configure(tmp_path, model=TINY, data={"dataset": "voc"})
    run = create_run(config, str(tmp_path / "run"))
    write_cvat(data, ["background", "disc", "bar"])
    assert "would be" in done("extend", run, code=2)
    assert "class added: bar (id 2)" in done("extend", run, "--add-class", "bar")
    assert done("extend", run).startswith("nothing to change")
    assert state_of(str(run)).created.colors == COLORS

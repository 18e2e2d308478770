"""`curve.csv` and `report.html` from the ledger and the files that its events name."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, Box, FileRef
from ray_al.datasets.compose import compose_mask
from ray_al.datasets.images import resize_mask
from ray_al.ledger import Journal, State, fold
from ray_al.report.curve import curve_csv
from ray_al.report.data import Frame, ImagePanel, ReportData
from ray_al.report.html import render_report


def curve_rows(state: State) -> list[dict[str, Any]]:
    """A row a trained cycle; keys are the columns of `curve.csv`."""
    rows = []
    names = state.created["class_names"]
    for cycle, data in sorted(state.trained.items()):
        if cycle < 0:
            continue
        metrics, labelled = data["metrics"]["val"], data["labelled"]
        scored = state.scored.get(cycle, {})
        query = next((query for query in state.queries if query.cycle == cycle), None)
        answered = next((query for query in state.queries if query.cycle == cycle - 1), None)
        seconds = {
            "train_seconds": data["train_seconds"],
            "evaluate_seconds": data["evaluate_seconds"],
            "score_seconds": scored.get("seconds"),
            "select_seconds": query.select_seconds if query else None,
            "label_seconds": answered.label_seconds if answered else None,
        }
        rows.append(
            {
                "cycle": cycle,
                "labelled_regions": labelled["regions"],
                "labelled_pixels": labelled["pixels"],
                "labelled_images": labelled["images"],
                "labelled_fraction": labelled["pixels"] / state.created["num_pixels"]
                if state.created["unit"] == "pixels"
                else labelled["regions"] / state.created["num_regions"],
                "cost": labelled["cost"],
                "miou": metrics["miou"],
                "pixel_accuracy": metrics["pixel_accuracy"],
                **{f"iou_{name}": value for name, value in zip(names, metrics["iou"], strict=True)},
                **seconds,
                "cycle_seconds": sum(value or 0.0 for value in seconds.values()),
                "images_per_second": scored["num_images"] / scored["seconds"] if scored.get("seconds") else None,
            }
        )
    return rows


def write_curve(storage: Storage, state: State) -> None:
    """Write `curve.csv`."""
    storage.replace("curve.csv", curve_csv(curve_rows(state), state.created["class_names"]).encode())


def write_report(run_uri: str, val_class_pixels: list[int]) -> str:
    """Write `report.html` and return its path.

    Args:
        val_class_pixels: pixels of each class in the validation masks, for comparison with the labelled set.
    """
    storage = Storage(run_uri)
    state = fold(Journal(storage).events)
    write_curve(storage, state)
    trained = [data for cycle, data in sorted(state.trained.items()) if cycle >= 0]
    data = ReportData(
        name=state.created["name"],
        state=state.finished or "not finished",
        class_names=tuple(state.created["class_names"]),
        colors=tuple(tuple(color) for color in state.created["colors"]),
        rows=curve_rows(state),
        budget={"unit": state.created["unit"], "amount": state.amount, "spent": state.spent, "reserved": state.reserved},
        labelled_class_pixels=trained[-1]["class_pixels"] if trained else [0] * len(val_class_pixels),
        val_class_pixels=val_class_pixels,
        images=_panels(storage, state),
        config_yaml=storage.read("config.yaml").decode(),
        quarantine=[{"image_id": image_id, "error": error} for image_id, error in state.quarantined.items()],
        refused=[dict(refused) for refused in state.refused],
        final=_metrics(storage, "final"),
        upper_bound=_metrics(storage, "upper_bound"),
    )
    storage.replace("report.html", render_report(data).encode())
    return storage.uri("report.html")


def _metrics(storage: Storage, kind: str) -> dict[str, Any] | None:
    path = f"{kind}/metrics.json"
    return json.loads(storage.read(path)) if storage.exists(path) else None


def _panels(storage: Storage, state: State) -> list[ImagePanel]:
    """One panel an image that the run followed; a frame a cycle."""
    previews = {cycle: data["files"]["preview.npz"] for cycle, data in sorted(state.trained.items()) if cycle >= 0 and "preview.npz" in data["files"]}
    if not previews:
        return []
    followed = {cycle: _load_preview(storage, FileRef.from_dict(ref)) for cycle, ref in previews.items()}
    image_ids = list(next(iter(followed.values())))
    sizes = _sizes(storage, state, image_ids)
    labels = _label_rows(storage, state, image_ids)
    return [
        ImagePanel(
            image_id=image_id,
            frames=[_frame(cycle, preview[image_id], labels[image_id], sizes[image_id]) for cycle, preview in followed.items()],
        )
        for image_id in image_ids
    ]


def _load_preview(storage: Storage, ref: FileRef) -> dict[str, dict[str, np.ndarray]]:
    with np.load(io.BytesIO(storage.read_ref(ref))) as arrays:
        return {
            str(image_id): {name: arrays[f"{name}_{i}"] for name in ("image", "prediction", "entropy")}
            for i, image_id in enumerate(arrays["image_ids"])
        }


def _sizes(storage: Storage, state: State, image_ids: list[str]) -> dict[str, tuple[int, int]]:
    data = storage.read_ref(FileRef.from_dict(state.created["manifest"]))
    table = pq.read_table(io.BytesIO(data), columns=["image_id", "height", "width"]).to_pydict()
    wanted = set(image_ids)
    rows = zip(table["image_id"], table["height"], table["width"], strict=True)
    return {image_id: (height, width) for image_id, height, width in rows if image_id in wanted}


def _label_rows(storage: Storage, state: State, image_ids: list[str]) -> dict[str, list[tuple[int, Box, bytes]]]:
    """(cycle in which it was labelled, box, PNG) of every label of the images."""
    rows: dict[str, list[tuple[int, Box, bytes]]] = {image_id: [] for image_id in image_ids}
    for ref in state.label_parts:
        cycle = int(ref.path.split("/")[1])
        table = pq.read_table(io.BytesIO(storage.read_ref(ref)), columns=["image_id", "box", "mask"])
        for row in table.to_pylist():
            if row["image_id"] in rows:
                top, left, bottom, right = row["box"]
                rows[row["image_id"]].append((cycle, Box(top=top, left=left, bottom=bottom, right=right), row["mask"]))
    return rows


def _frame(cycle: int, preview: Mapping[str, np.ndarray], labels: list[tuple[int, Box, bytes]], size: tuple[int, int]) -> Frame:
    height, width = size
    so_far = [(labelled, box, png) for labelled, box, png in labels if labelled <= cycle]
    mask = compose_mask([(box, png) for _, box, png in so_far], height, width) if so_far else np.full(size, IGNORE_INDEX, np.uint8)
    boxes = [((b.top / height, b.left / width, b.bottom / height, b.right / width), labelled) for labelled, b, _ in so_far]
    shown = preview["image"].shape[:2]
    return Frame(
        cycle=cycle,
        photo=preview["image"],
        prediction=preview["prediction"],
        entropy=preview["entropy"].astype(np.float32),
        labels=resize_mask(mask, shown),
        boxes=boxes,
    )

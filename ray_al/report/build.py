"""`curve.csv` and `report.html` from the ledger and the files that its events name."""

import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_al.core.families.units import UNITS
from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, Box, FileRef
from ray_al.datasets.compose import Part, compose_mask, compose_targets
from ray_al.datasets.images import resize_scattered
from ray_al.ledger import Journal, Query, State, fold
from ray_al.ledger.config import read_config
from ray_al.regions.maps import MapPart, decode_map
from ray_al.report.curve import curve_csv
from ray_al.report.data import Frame, ImagePanel, ReportData
from ray_al.report.html import render_report
from ray_al.report.left_out import labels_left_out
from ray_al.report.metrics import read_metrics
from ray_al.report.pictures import outline_path, striped_ids


def curve_rows(state: State) -> list[dict[str, Any]]:
    """A row a trained cycle; keys are the columns of `curve.csv`, and `labelled_visits`: how often an image was opened."""
    rows = []
    names = state.created["class_names"]
    queries: dict[int, list[Query]] = {}
    for query in state.queries:
        queries.setdefault(query.cycle, []).append(query)
    for cycle, data in sorted(state.trained.items()):
        if cycle < 0:
            continue
        metrics, labelled = data["metrics"]["val"], data["labelled"]
        scored, measured = state.scored.get(cycle, {}), state.measured.get(cycle, {})
        chosen = [query.select_seconds for query in queries.get(cycle, [])]
        answered = [query.label_seconds for query in queries.get(cycle - 1, [])]
        seconds = {
            "train_seconds": data["train_seconds"]
            + sum(member["train_seconds"] for member in state.members.get(cycle, {}).values()),
            "evaluate_seconds": data["evaluate_seconds"],
            "score_seconds": scored["seconds"]
            + state.extracted.get(cycle, {"seconds": 0.0})["seconds"]
            if scored
            else None,
            "select_seconds": sum(chosen) if chosen else None,
            "label_seconds": sum(answered) if answered else None,
        }
        rows.append(
            {
                "cycle": cycle,
                "labelled_regions": labelled["regions"],
                "labelled_pixels": labelled["pixels"],
                "labelled_images": labelled["images"],
                "labelled_clicks": labelled.get("clicks"),
                "labelled_visits": labelled.get("visits"),
                "labelled_fraction": _fraction(labelled, state.created),
                "cost": labelled["cost"],
                "miou": metrics["miou"],
                "pixel_accuracy": metrics["pixel_accuracy"],
                **{f"iou_{name}": value for name, value in zip(names, metrics["iou"], strict=True)},
                **seconds,
                "cycle_seconds": sum(value or 0.0 for value in seconds.values()),
                "images_per_second": scored["num_images"] / scored["seconds"]
                if scored.get("seconds")
                else None,
                "final_miou": measured.get("miou"),
                "final_spread": measured.get("spread"),
                "measure_seconds": measured.get("seconds"),
            }
        )
    return rows


def measured_rows(state: State) -> list[dict[str, Any]]:
    """The rows of `curve_rows` whose models were measured, with the means of these models' metrics in place of
    the choosing model's; `final_budget` is the named budget, in units."""
    names, rows = state.created["class_names"], []
    for row in curve_rows(state):
        if row["final_miou"] is None:
            continue
        metrics = [
            model["metrics"]["val"] for _, model in sorted(state.repeats[row["cycle"]].items())
        ]
        ious = zip(*(one["iou"] for one in metrics), strict=True)
        means = {f"iou_{name}": _mean(values) for name, values in zip(names, ious, strict=True)}
        budget = state.measured[row["cycle"]]["budget"]
        rows.append(
            {
                **row,
                "final_budget": budget,
                "miou": row["final_miou"],
                "pixel_accuracy": _mean([one["pixel_accuracy"] for one in metrics]),
                **means,
            }
        )
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    """Over what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _fraction(labelled: Mapping[str, Any], created: Mapping[str, Any]) -> float:
    """Labelled share of the pool, by what the budget's unit counts; by regions where nobody knows how many units the pool has."""
    counted = UNITS.find(created["unit"]).share_by
    return float(labelled[counted] / created[f"num_{counted}"])


def write_curve(storage: Storage, state: State) -> None:
    """Write `curve.csv`."""
    storage.replace(
        "curve.csv", curve_csv(curve_rows(state), state.created["class_names"]).encode()
    )


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
        budget={
            "unit": state.created["unit"],
            "amount": state.amount,
            "spent": state.spent,
            "reserved": state.reserved,
        },
        labelled_class_pixels=trained[-1]["class_pixels"]
        if trained
        else [0] * len(val_class_pixels),
        val_class_pixels=val_class_pixels,
        unlabelled_classes=state.unlabelled_classes,
        images=_panels(storage, state),
        config_yaml=storage.read("config.yaml").decode(errors="replace"),
        quarantine=_quarantine(storage, state),
        refused=[dict(refused) for refused in state.refused],
        measured=[_measured(state, cycle) for cycle in sorted(state.measured)],
        final=read_metrics(storage, "final"),
        upper_bound=read_metrics(storage, "upper_bound"),
    )
    storage.replace("report.html", render_report(data).encode())
    return storage.uri("report.html")


def _measured(state: State, cycle: int) -> dict[str, Any]:
    test = [
        model["metrics"]["test"]["miou"]
        for model in state.repeats[cycle].values()
        if "test" in model["metrics"]
    ]
    return {**state.measured[cycle], "test": float(np.mean(test)) if test else None}


def _quarantine(storage: Storage, state: State) -> list[dict[str, Any]]:
    lost = labels_left_out(storage, state)
    costs = {
        image_id: f"; {number} labelled regions of it are not trained on"
        for image_id, number in lost.items()
    }
    return [
        {"image_id": image_id, "error": error + costs.get(image_id, "")}
        for image_id, error in state.quarantined.items()
    ]


def _panels(storage: Storage, state: State) -> list[ImagePanel]:
    """One panel an image that the run followed; a frame a cycle."""
    previews = {
        cycle: data["files"]["preview.npz"]
        for cycle, data in sorted(state.trained.items())
        if cycle >= 0 and "preview.npz" in data["files"]
    }
    if not previews:
        return []
    followed = {
        cycle: _load_preview(storage, FileRef.from_dict(ref)) for cycle, ref in previews.items()
    }
    image_ids = list(
        dict.fromkeys(image_id for preview in followed.values() for image_id in preview)
    )
    sizes = _sizes(storage, state, image_ids)
    labels = _labelled(storage, state, sizes)
    return [
        ImagePanel(
            image_id=image_id,
            frames=[
                _frame(cycle, preview[image_id], labels[image_id], sizes[image_id])
                for cycle, preview in followed.items()
                if image_id in preview
            ],
        )
        for image_id in image_ids
    ]


def _load_preview(storage: Storage, ref: FileRef) -> dict[str, dict[str, np.ndarray]]:
    with np.load(io.BytesIO(storage.read_ref(ref))) as arrays:
        return {
            str(image_id): {
                name: arrays[f"{name}_{i}"] for name in ("image", "prediction", "entropy")
            }
            for i, image_id in enumerate(arrays["image_ids"])
        }


def _sizes(storage: Storage, state: State, image_ids: list[str]) -> dict[str, tuple[int, int]]:
    data = storage.read_ref(FileRef.from_dict(state.created["manifest"]))
    table = read_parquet(data, ["image_id", "height", "width"]).to_pydict()
    wanted = set(image_ids)
    rows = zip(table["image_id"], table["height"], table["width"], strict=True)
    return {image_id: (height, width) for image_id, height, width in rows if image_id in wanted}


@dataclass(frozen=True, kw_only=True)
class _Labelled:
    """A labelled region of an image: the cycle that trained on it first, its label, and its outline."""

    cycle: int
    part: Part
    outline: str


def _labelled(
    storage: Storage, state: State, sizes: Mapping[str, tuple[int, int]]
) -> dict[str, list[_Labelled]]:
    """Every label of the images in `sizes` (native height and width)."""
    found: dict[str, list[_Labelled]] = {image_id: [] for image_id in sizes}
    config = read_config(storage)
    size = config.shard_size(int(state.created["num_images"]))
    for ref in state.label_parts:
        folder = ref.path.split("/")[1]
        table = read_parquet(storage.read_ref(ref))
        wanted = ("image_index", "image_id", "region", "box", "mask", "classes")
        for row in table.select(
            [name for name in wanted if name in table.column_names]
        ).to_pylist():
            if row["image_id"] in found:
                box = Box(**dict(zip(("top", "left", "bottom", "right"), row["box"], strict=True)))
                part = Part.of_row(box, row)
                mask = _region_mask(storage, state, row, size)
                outline = outline_path(box, mask, sizes[row["image_id"]])
                found[row["image_id"]].append(
                    _Labelled(
                        cycle=int(folder) if folder.isdigit() else 0, part=part, outline=outline
                    )
                )
    return found


def _region_mask(
    storage: Storage, state: State, row: Mapping[str, Any], shard_size: int
) -> np.ndarray | None:
    """Which pixels of its box a region has; None where it fills it."""
    ref = state.map_parts.get(row["image_index"] // shard_size)
    if ref is None:
        return None
    labels = decode_map(_read_maps(storage, ref).map(row["image_index"]))
    top, left, bottom, right = row["box"]
    inside: np.ndarray = labels[top:bottom, left:right] == row["region"]
    return inside


@functools.lru_cache(maxsize=4)
def _read_maps(storage: Storage, ref: FileRef) -> MapPart:
    return MapPart(storage.read_ref(ref))


def _frame(
    cycle: int, preview: Mapping[str, np.ndarray], labels: list[_Labelled], size: tuple[int, int]
) -> Frame:
    so_far = [one for one in labels if one.cycle <= cycle]
    return Frame(
        cycle=cycle,
        photo=preview["image"],
        prediction=preview["prediction"],
        entropy=preview["entropy"].astype(np.float32),
        labels=_shown_labels([one.part for one in so_far], size, preview["image"].shape[:2]),
        outlines=[(one.outline, one.cycle) for one in so_far],
    )


def _shown_labels(parts: list[Part], size: tuple[int, int], shown: tuple[int, int]) -> np.ndarray:
    """Class ids uint8 of an image of `size` native pixels, made as small as it is shown; sets of classes in stripes.

    Dense labels are never taken for sets: these hold fewer classes, and eight times as many bytes a pixel.
    """
    if all(part.classes is None for part in parts):
        ids = compose_mask(
            ((part.box, part.mask) for part in parts if part.mask is not None), *size
        )
        return resize_scattered(ids, shown, ids != IGNORE_INDEX)
    native = compose_targets(parts, *size)
    return striped_ids(resize_scattered(native, shown, native[..., 0] != 0)[..., 0])

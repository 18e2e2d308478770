"""The images that a report follows from cycle to cycle, with their predictions and labels."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.parquet import read_parquet
from ray_al.core.run_dir import PREVIEW, CycleDir
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, Box, FileRef
from ray_al.datasets.compose import Part, compose_mask, compose_targets
from ray_al.datasets.images import resize_scattered
from ray_al.ledger import State
from ray_al.ledger.config import read_config
from ray_al.regions.maps import decode_map, read_maps
from ray_al.report.data import CycleView, ImagePanel
from ray_al.report.pictures import outline_path, striped_ids

LABEL_COLUMNS = ("image_index", "image_id", "region", "box", "mask", "classes")
"""Columns of a label part that a report reads; parts of earlier versions lack some of them."""

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class _Preview:
    """What a cycle's model said about an image, as small as it is shown.

    Attributes:
        image: uint8 (H, W, 3).
        prediction: class ids, uint8 (H, W).
        entropy: in nats, (H, W).
    """

    image: np.ndarray
    prediction: np.ndarray
    entropy: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _LabelledRegion:
    """A labelled region; `cycle` is the first cycle that trained on it."""

    cycle: int
    part: Part
    outline: str


def image_panels(storage: Storage, state: State) -> list[ImagePanel]:
    """Return one panel per image that the run followed, with one frame per cycle."""
    previews = {
        model.cycle: _read_previews(storage, model.files[PREVIEW])
        for model in state.cycles
        if PREVIEW in model.files
    }
    image_ids: dict[str, None] = {}  # a set in the order of its first entries
    for by_image in previews.values():
        image_ids.update(dict.fromkeys(by_image))
    if not image_ids:
        return []
    sizes = _read_sizes(storage, state, set(image_ids))
    labels = _read_labels(storage, state, sizes)
    panels = []
    for image_id in image_ids:
        frames = [
            _frame(cycle, by_image[image_id], labels[image_id], sizes[image_id])
            for cycle, by_image in previews.items()
            if image_id in by_image
        ]
        panels.append(ImagePanel(image_id=image_id, frames=frames))
    return panels


def _read_previews(storage: Storage, ref: FileRef) -> dict[str, _Preview]:
    """Return the previews of a cycle by image_id."""
    with np.load(io.BytesIO(storage.read_ref(ref))) as arrays:
        return {
            str(image_id): _Preview(
                image=arrays[f"image_{index}"],
                prediction=arrays[f"prediction_{index}"],
                entropy=arrays[f"entropy_{index}"],
            )
            for index, image_id in enumerate(arrays["image_ids"])
        }


def _read_sizes(storage: Storage, state: State, image_ids: set[str]) -> dict[str, Size]:
    """Return the native sizes of images."""
    data = storage.read_ref(state.created.manifest)
    table = read_parquet(data, ["image_id", "height", "width"]).to_pydict()
    rows = zip(table["image_id"], table["height"], table["width"], strict=True)
    return {image_id: (height, width) for image_id, height, width in rows if image_id in image_ids}


def _read_labels(
    storage: Storage, state: State, sizes: Mapping[str, Size]
) -> dict[str, list[_LabelledRegion]]:
    """Return every label of the images in `sizes`."""
    found: dict[str, list[_LabelledRegion]] = {image_id: [] for image_id in sizes}
    shard_size = read_config(storage).shard_size(state.created.num_images)
    for ref in state.label_parts:
        cycle = CycleDir.cycle_of(ref.path)
        for row in _label_rows(read_parquet(storage.read_ref(ref))):
            if row["image_id"] not in found:
                continue
            top, left, bottom, right = row["box"]
            box = Box(top=top, left=left, bottom=bottom, right=right)
            mask = _region_mask(storage, state, row, shard_size)
            region = _LabelledRegion(
                cycle=cycle,
                part=Part.of_row(box, row),
                outline=outline_path(box, mask, sizes[row["image_id"]]),
            )
            found[row["image_id"]].append(region)
    return found


def _label_rows(table: pa.Table) -> list[dict[str, Any]]:
    names = [name for name in LABEL_COLUMNS if name in table.column_names]
    rows: list[dict[str, Any]] = table.select(names).to_pylist()
    return rows


def _region_mask(
    storage: Storage, state: State, row: Mapping[str, Any], shard_size: int
) -> np.ndarray | None:
    """Return which pixels of its box a region has; None if it fills the box."""
    ref = state.map_parts.get(row["image_index"] // shard_size)
    if ref is None:
        return None
    region_map = decode_map(read_maps(storage.root, ref).map(row["image_index"]))
    top, left, bottom, right = row["box"]
    inside: np.ndarray = region_map[top:bottom, left:right] == row["region"]
    return inside


def _frame(cycle: int, preview: _Preview, labels: list[_LabelledRegion], size: Size) -> CycleView:
    so_far = [region for region in labels if region.cycle <= cycle]
    height, width = preview.image.shape[:2]
    return CycleView(
        cycle=cycle,
        photo=preview.image,
        prediction=preview.prediction,
        entropy=preview.entropy.astype(np.float32),
        labels=shown_labels([region.part for region in so_far], size, (height, width)),
        outlines=[(region.outline, region.cycle) for region in so_far],
    )


def shown_labels(parts: list[Part], size: Size, shown: Size) -> np.ndarray:
    """Draw the labels of an image as class ids; several classes for one pixel become stripes.

    Dense labels take a path of their own: sets of classes have a limited number of classes and
    need eight times as many bytes per pixel.

    Args:
        size: native size of the image.
        shown: size of the picture.

    Returns:
        uint8, in the shape of `shown`; 255 for no label.
    """
    if all(part.classes is None for part in parts):
        masks = ((part.box, part.mask) for part in parts if part.mask is not None)
        ids = compose_mask(masks, *size)
        return resize_scattered(ids, shown, ids != IGNORE_INDEX)
    native = compose_targets(parts, *size)
    return striped_ids(resize_scattered(native, shown, native[..., 0] != 0)[..., 0])

"""Labelling by people through a folder of tasks.

A task is `task-N.png` (the region with a margin of context), `task-N.proposal.png` (the current prediction, where there is a model),
`task-N.region.png` (255 on the region's pixels, where it does not fill its box) and an entry in `tasks.json`. The answer, made with any
tool, lies beside them: `task-N.mask.png`, an 8-bit or palette image of class ids, 255 where nothing can be said, in the size of the
region's box or of the whole picture with its margin; where classes are asked for, `task-N.classes.json`, a list of class names or ids.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from ray_al.core.errors import DataError
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, LABEL_SCHEMA, Box
from ray_al.datasets.compose import decode_mask, encode_mask
from ray_al.label import Labels
from ray_al.label.kinds import Label, dense
from ray_al.label.simulated import label_values
from ray_al.regions import ImageRegions

VERSION = 2
MANIFEST = "tasks.json"
ANSWERS = {"dense": "mask.png", "dominant": "classes.json", "classes": "classes.json"}


def write_tasks(
    storage: Storage,
    folder: str,
    query: pa.Table,
    *,
    read_image: Callable[[int], np.ndarray],
    regions_of: Callable[[int], ImageRegions],
    propose: Callable[[int], np.ndarray | None],
    class_names: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
    margin: int,
    kind: str = "dense",
) -> int:
    """Write one task a region of `query` and, last, the manifest that lists them. Safe to repeat.

    Args:
        read_image: image_index -> uint8 (H, W, 3) in native pixels.
        regions_of: image_index -> its regions.
        propose: image_index -> predicted ids uint8 (H, W), or None without a model.
        kind: what is asked: dense, dominant or classes.

    Returns:
        The number of tasks.
    """
    tasks = []
    rows = query.select(["image_index", "image_id", "region", "rank"]).to_pylist()
    for number, row in enumerate(sorted(rows, key=lambda row: (row["image_index"], row["region"]))):
        image, proposal, regions = read_image(row["image_index"]), propose(row["image_index"]), regions_of(row["image_index"])
        box, mask = regions.box(row["region"]), regions.mask(row["region"])
        context = _with_margin(box, margin, image.shape[0], image.shape[1])
        name = f"task-{number:05d}"
        storage.replace(f"{folder}/{name}.png", _png(_crop(image, context)))
        if proposal is not None:
            storage.replace(f"{folder}/{name}.proposal.png", encode_mask(_crop(proposal, box)))
        if mask is not None:
            storage.replace(f"{folder}/{name}.region.png", encode_mask(mask * np.uint8(255)))
        answer = f"{name}.{ANSWERS[kind]}"
        places = {"box": list(box.as_tuple()), "context": list(context.as_tuple()), "region_mask": None if mask is None else f"{name}.region.png"}
        tasks.append({**row, "name": name, "kind": kind, **places, "answer": answer})
    classes = [{"id": i, "name": name, "color": list(color)} for i, (name, color) in enumerate(zip(class_names, colors, strict=True))]
    values = {"version": VERSION, "ignore_id": IGNORE_INDEX, "classes": classes, "tasks": tasks}
    storage.replace(f"{folder}/{MANIFEST}", json.dumps(values, indent=1).encode())
    return len(tasks)


def collect(storage: Storage, folder: str, *, taken: set[tuple[str, int]], class_names: Sequence[str], max_clicks: int) -> Labels:
    """Take in the answers that are there and not yet `taken` (image_id, region); a wrong one is refused with the reason."""
    manifest = json.loads(storage.read(f"{folder}/{MANIFEST}"))
    if not 1 <= manifest["version"] <= VERSION:
        raise DataError(
            f"{storage.uri(folder)}/{MANIFEST}: version {manifest['version']}, this ray_al reads 1 to {VERSION}; use the version that wrote it"
        )
    present = set(storage.list(folder))
    rows, refused = [], []
    for task in manifest["tasks"]:
        if task["answer"] not in present or (task["image_id"], task["region"]) in taken:
            continue
        path = f"{folder}/{task['answer']}"
        region = decode_mask(storage.read(f"{folder}/{task['region_mask']}")) > 0 if task.get("region_mask") else None
        try:
            answer = _read_answer(storage.read(path), task, region, class_names)
        except DataError as error:
            reason = f"{storage.uri(path)}: {error}"
            refused.append({"image_id": task["image_id"], "region": task["region"], "reason": reason, "final": False})
            continue
        row = {key: task[key] for key in ("image_index", "image_id", "region")}
        values = label_values(task.get("kind", "dense"), answer, _box(task["box"]), region, max_clicks)
        rows.append({**row, **values, "annotator": "files", "seconds": None})
    return Labels(table=pa.Table.from_pylist(rows, schema=LABEL_SCHEMA), refused=tuple(refused))


def _box(values: Sequence[int]) -> Box:
    return Box(**dict(zip(("top", "left", "bottom", "right"), values, strict=True)))


def _read_answer(data: bytes, task: Mapping[str, Any], region: np.ndarray | None, class_names: Sequence[str]) -> Label:
    kind = task.get("kind", "dense")
    if kind == "dense":
        return dense(_read_mask(data, task, len(class_names)), region)
    ids = _read_classes(data, class_names)
    if kind == "classes":
        return ids
    if len(ids) > 1:
        raise DataError(f"{len(ids)} classes, the dominant one is asked for; name one")
    return ids[0] if ids else IGNORE_INDEX


def _read_classes(data: bytes, class_names: Sequence[str]) -> tuple[int, ...]:
    try:
        values = json.loads(data)
    except ValueError as error:
        raise DataError(f"not JSON ({error}); write a list of class names or ids, [] for nothing") from None
    if not isinstance(values, list):
        raise DataError(f"a {type(values).__name__}; write a list of class names or ids, [] for nothing")
    ids = [class_names.index(value) if value in class_names else value for value in values]
    for value in ids:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(class_names):
            raise DataError(f"class {value!r} is not known; ids are 0 to {len(class_names) - 1}, names: {', '.join(class_names)}")
    return tuple(sorted(set(ids)))


def _read_mask(data: bytes, task: Mapping[str, Any], num_classes: int) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"not a readable image ({error}); save it again as PNG") from None
    if image.mode not in ("L", "P", "1"):
        raise DataError(f"mode {image.mode}; save class ids as an 8-bit greyscale or palette PNG")
    mask = np.asarray(image, dtype=np.uint8)
    box, context = _box(task["box"]), _box(task["context"])
    if mask.shape == (context.height, context.width):
        top, left = box.top - context.top, box.left - context.left
        mask = mask[top : top + box.height, left : left + box.width]
    if mask.shape != (box.height, box.width):
        expected = f"{box.height}x{box.width} (the region) or {context.height}x{context.width} (the picture)"
        raise DataError(f"{mask.shape[0]}x{mask.shape[1]} pixels, expected {expected}; export it at that size")
    unknown = mask[(mask >= num_classes) & (mask != IGNORE_INDEX)]
    if unknown.size:
        raise DataError(f"id {int(unknown[0])} on {unknown.size} pixels; ids are 0 to {num_classes - 1}, or {IGNORE_INDEX} for nothing")
    return mask


def _with_margin(box: Box, margin: int, height: int, width: int) -> Box:
    return Box(
        top=max(0, box.top - margin), left=max(0, box.left - margin), bottom=min(height, box.bottom + margin), right=min(width, box.right + margin)
    )


def _crop(array: np.ndarray, box: Box) -> np.ndarray:
    return array[box.top : box.bottom, box.left : box.right]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
